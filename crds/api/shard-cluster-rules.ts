/** What the fields of ShardCluster.spec demand of each other, and which of them are read once only. */
import type { Rule } from './rules.ts';

const onlyGeo = "self.sharding.algorithm != 'geo' ||";
/** With `optionalOldSelf` a rule sees creation, too; this makes it see nothing else. */
const onlyAtCreation = 'oldSelf.hasValue() ||';

export const crossFieldRules: readonly Rule[] = [
  {
    rule: "self.consistency != 'strong' || self.members >= 2",
    message:
      'consistency: strong needs a second member to hold each commit: write members: 2 or more, or consistency: eventual',
    fieldPath: '.members',
  },
  {
    rule: `${onlyAtCreation} !has(self.sharding.range) || self.sharding.range.splitPoints.size() == self.shards - 1`,
    message: 'write one split point fewer than shards: n split points make n + 1 ranges, one for each shard',
    fieldPath: '.sharding',
    optionalOldSelf: true,
  },
  {
    rule: `${onlyAtCreation} !has(self.sharding.directory) || (self.sharding.directory.defaultShard < self.shards && self.sharding.directory.entries.all(entry, entry.shard < self.shards))`,
    message: 'the directory names a shard that does not exist: ordinals go from 0 to shards - 1',
    fieldPath: '.sharding',
    optionalOldSelf: true,
  },
  {
    rule: `${onlyGeo} self.placement.spread == 'none'`,
    message: 'with geo no row leaves its region, so members cannot spread over regions: write spread: none',
    fieldPath: '.placement',
  },
  {
    rule: `${onlyGeo} self.placement.regions.size() > 0`,
    message: 'geo needs placement.regions: name every region that the column can hold',
    fieldPath: '.placement',
  },
  {
    rule: `${onlyGeo} self.placement.regions.all(region, region.weight > 0)`,
    message: 'with geo every region holds its own rows: give each a weight above 0',
    fieldPath: '.placement',
  },
  {
    rule: `${onlyGeo} self.shards >= self.placement.regions.size()`,
    message: 'with geo every region needs a shard of its own: write at least as many shards as regions',
    fieldPath: '.shards',
  },
  {
    rule: `${onlyGeo} oldSelf.placement.regions.all(old, self.placement.regions.exists(region, region.name == old.name))`,
    message:
      'a region of a geo fleet cannot be removed, its rows have nowhere to go: keep it in placement.regions',
    fieldPath: '.placement',
  },
  {
    // Later on ordinals have gaps, where shards were merged away: the operator knows them.
    rule: `${onlyAtCreation} self.shardStates.all(entry, entry.shard < self.shards)`,
    message: 'shardStates names a shard that does not exist: ordinals go from 0 to shards - 1',
    fieldPath: '.shardStates',
    optionalOldSelf: true,
  },
  {
    rule: 'has(self.bootstrap) == has(oldSelf.bootstrap) && (!has(self.bootstrap) || self.bootstrap == oldSelf.bootstrap)',
    message: 'bootstrap is read when the fleet is made and immutable after it: make a new ShardCluster',
    fieldPath: '.bootstrap',
  },
];
