/** Each kind as the API server is to know it: its schemas, what `kubectl get` shows, and rules on the object as a whole. */
import type { z } from 'zod';
import { backupPolicySpec, backupPolicyStatus } from './api/backup-policy.ts';
import { shardMigrationStatus } from './api/migration/status.ts';
import { type Resource, resources } from './api/names.ts';
import type { Rule } from './api/rules.ts';
import { shardSpec, shardStatus } from './api/shard.ts';
import { shardClusterSpec, shardClusterStatus } from './api/shard-cluster.ts';
import { shardMigrationSpec } from './api/shard-migration.ts';

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  /** Above 0: shown with `-o wide` only. */
  readonly priority?: number;
}

export interface Kind {
  readonly resource: Resource;
  readonly description: string;
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly rules: readonly Rule[];
  readonly columns: readonly PrinterColumn[];
  readonly scale?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath: string;
  };
}

const condition = (name: string, type: string): PrinterColumn => ({
  name,
  type: 'string',
  jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
});

/** Why it is Ready, or why not. */
const message: PrinterColumn = {
  name: 'Message',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Ready")].message',
};
const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };
const phase: PrinterColumn = { name: 'Phase', type: 'string', jsonPath: '.status.phase' };

/** Leaves room, within a DNS label of 63, for `-99999` and the longest ending of a child's name. */
const clusterName: Rule = {
  rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
  message:
    'the name starts the names of Services and pods: write at most 40 lower-case letters, digits and -, starting with a letter',
};

const shardName: Rule = {
  rule: 'self.metadata.name.startsWith(self.spec.cluster.name) && int(self.metadata.name.substring(self.spec.cluster.name.size() + 1)) == self.spec.ordinal',
  message:
    'a Shard is named <cluster>-<ordinal>, and made by the operator only: change the ShardCluster instead',
};

const migrationName: Rule = {
  rule: 'self.metadata.name.size() <= 52',
  message: 'the name becomes part of other names: write at most 52 characters',
};

export const kinds: readonly Kind[] = [
  {
    resource: resources.shardCluster,
    description: 'ShardCluster is a fleet of shards that act as one database.',
    spec: shardClusterSpec,
    status: shardClusterStatus,
    rules: [clusterName],
    columns: [
      condition('Ready', 'Ready'),
      { name: 'Shards', type: 'integer', jsonPath: '.spec.shards' },
      { name: 'Up', type: 'integer', jsonPath: '.status.readyShards', description: 'Shards that are Ready.' },
      { name: 'Members', type: 'integer', jsonPath: '.spec.members' },
      { name: 'Algorithm', type: 'string', jsonPath: '.spec.sharding.algorithm' },
      {
        name: 'Epoch',
        type: 'integer',
        jsonPath: '.status.map.epoch',
        description: 'Version of the shard map.',
      },
      phase,
      age,
      { name: 'Consistency', type: 'string', jsonPath: '.spec.consistency', priority: 1 },
      { name: 'Worst lag', type: 'integer', jsonPath: '.status.worst.lagBytes', priority: 1 },
      { name: 'Size', type: 'integer', jsonPath: '.status.sizeBytes', priority: 1 },
      { ...message, priority: 1 },
    ],
    scale: {
      specReplicasPath: '.spec.shards',
      statusReplicasPath: '.status.shards',
      labelSelectorPath: '.status.selector',
    },
  },
  {
    resource: resources.shard,
    description:
      'Shard is one replicated database of a fleet. The operator makes it; change the ShardCluster instead.',
    spec: shardSpec,
    status: shardStatus,
    rules: [shardName],
    columns: [
      condition('Ready', 'Ready'),
      { name: 'State', type: 'string', jsonPath: '.spec.state' },
      { name: 'Region', type: 'string', jsonPath: '.spec.region' },
      { name: 'Slots', type: 'integer', jsonPath: '.spec.sharding.slotCount' },
      { name: 'Primary', type: 'string', jsonPath: '.status.primary' },
      { name: 'Members', type: 'integer', jsonPath: '.spec.members' },
      {
        name: 'Up',
        type: 'integer',
        jsonPath: '.status.readyMembers',
        description: 'Members that are ready.',
      },
      {
        name: 'Lag',
        type: 'integer',
        jsonPath: '.status.lagBytes',
        description: 'Bytes of write-ahead log.',
      },
      { name: 'Size', type: 'integer', jsonPath: '.status.sizeBytes', description: 'Bytes.' },
      phase,
      age,
      { name: 'Generation', type: 'integer', jsonPath: '.status.generation', priority: 1 },
      { name: 'Timeline', type: 'integer', jsonPath: '.status.timeline', priority: 1 },
      { name: 'RPO', type: 'number', jsonPath: '.status.achievedRpoSeconds', priority: 1 },
      { ...message, priority: 1 },
    ],
  },
  {
    resource: resources.shardMigration,
    description: 'ShardMigration moves data between the shards of a fleet while it is in use.',
    spec: shardMigrationSpec,
    status: shardMigrationStatus,
    rules: [migrationName],
    columns: [
      { name: 'Operation', type: 'string', jsonPath: '.status.operation' },
      phase,
      { name: 'Percent', type: 'integer', jsonPath: '.status.progress.percent' },
      {
        name: 'Lag',
        type: 'integer',
        jsonPath: '.status.progress.lagBytes',
        description: 'Bytes of write-ahead log.',
      },
      {
        name: 'Stall ms',
        type: 'integer',
        jsonPath: '.status.cutover.writeStallMs',
        description: 'Longest time that writes waited.',
      },
      message,
      age,
      { name: 'Cluster', type: 'string', jsonPath: '.spec.cluster.name', priority: 1 },
      { name: 'Rows', type: 'integer', jsonPath: '.status.progress.rowsCopied', priority: 1 },
      { name: 'Rollback until', type: 'string', jsonPath: '.status.rollbackUntil', priority: 1 },
      { name: 'Waiting for', type: 'string', jsonPath: '.status.waitingFor', priority: 1 },
    ],
  },
  {
    resource: resources.backupPolicy,
    description: 'BackupPolicy says what may never be lost, and how soon it must be back.',
    spec: backupPolicySpec,
    status: backupPolicyStatus,
    rules: [],
    columns: [
      condition('RPO met', 'RPOMet'),
      condition('RTO met', 'RTOMet'),
      condition('Current', 'BackupsCurrent'),
      { name: 'RPO', type: 'string', jsonPath: '.spec.objectives.rpo' },
      {
        name: 'Achieved',
        type: 'number',
        jsonPath: '.status.achieved.rpoSeconds',
        description: 'Worst RPO, in seconds.',
      },
      { name: 'RTO', type: 'string', jsonPath: '.spec.objectives.rto' },
      { name: 'Last backup', type: 'date', jsonPath: '.status.lastBackupTime' },
      phase,
      age,
      { name: 'Shards', type: 'integer', jsonPath: '.status.shards', priority: 1 },
      {
        name: 'Median',
        type: 'number',
        jsonPath: '.status.achieved.rpoMedianSeconds',
        description: 'Median RPO, in seconds.',
        priority: 1,
      },
      { name: 'Achieved RTO', type: 'number', jsonPath: '.status.achieved.rtoSeconds', priority: 1 },
      { name: 'Last drill', type: 'date', jsonPath: '.status.lastDrillTime', priority: 1 },
      { ...message, priority: 1 },
    ],
  },
];
