/** The main stories of a migration as transcripts, reviewed as files: what is decided, done and said, in order. */
import { beforeEach, describe, expect, test } from 'vitest';
import { MigrationWorld } from '#controllers/testing/migration-world.ts';

const split = { split: { shard: 'social-0', into: 2 } };
const splitWorld = () => MigrationWorld.create({ shards: 2, wanted: 3, empty: 1 });

let world: MigrationWorld;
beforeEach(async () => {
  world = await splitWorld();
});

const told = () => `${world.transcript.join('\n')}\n`;
const file = (name: string) => `testdata/${name}.txt`;

const ends = (name: string, phase: string) => world.until([name], () => world.status(name).phase === phase);
const reaches = (name: string, reason: string) => world.until([name], () => readyReason(name) === reason);
const readyReason = (name: string) =>
  world.status(name).conditions?.find(({ type }) => type === 'Ready')?.reason;

test('split', async () => {
  world.create('split', split);
  await ends('split', 'Completed');
  expect(world.status('split').cutover?.writeStallMs).toBe(7);
  expect(world.exists('split')).toBe(true);
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('split'));
});

test('split into three', async () => {
  world = await MigrationWorld.create({ shards: 1, wanted: 3, empty: 2 });
  world.create('split', { split: { shard: 'social-0', into: 3 } });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('split-into-three'));
});

test('merge', async () => {
  world = await MigrationWorld.create({ shards: 3, wanted: 1 });
  world.create('merge', { merge: { shards: ['social-0', 'social-1', 'social-2'] } });
  await ends('merge', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('merge'));
});

test('move', async () => {
  world = await MigrationWorld.create({ shards: 2 });
  world.create('move', { move: { shard: 'social-1', region: 'us-east' } });
  await ends('move', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('move'));
});

test('move onto another storage class', async () => {
  world = await MigrationWorld.create({ shards: 2 });
  world.create('move', { move: { shard: 'social-1', storageClassName: 'fast' } });
  await ends('move', 'Completed');
  expect(world.status('move').newShard).toEqual({ name: 'social-2', ordinal: 2, storageClassName: 'fast' });
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('move-onto-another-storage-class'));
});

test('split of a lone range at two keys', async () => {
  world = await MigrationWorld.create({ shards: 2, wanted: 4, empty: 2, splitPoints: ['192'] });
  world.create('split', { split: { shard: 'social-0', into: 3, at: ['64', '128'] } });
  await ends('split', 'Completed');
  world.checkEnd();
  expect(world.map.ownership).toEqual({
    algorithm: 'range',
    ranges: [
      { write: 0, read: 0 },
      { from: '64', write: 2, read: 2 },
      { from: '128', write: 3, read: 3 },
      { from: '192', write: 1, read: 1 },
    ],
  });
  await expect(told()).toMatchFileSnapshot(file('split-of-a-lone-range'));
});

test('slots to a shard in use', async () => {
  world.create('slots', { slots: { from: 'social-0', to: 'social-1', ranges: [{ first: 0, last: 15 }] } });
  await ends('slots', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('slots-to-a-shard-in-use'));
});

describe('aborted', () => {
  test.each(['Planning', 'SettingUp', 'Copying', 'Comparing', 'SwitchingReads', 'WaitingForApproval'])(
    'abort while %s',
    async reason => {
      world.create('split', { ...split, cutover: { mode: 'Manual' } });
      await reaches('split', reason);
      world.edit('split', { abort: true });
      await ends('split', 'Aborted');
      world.checkEnd();
      expect(world.transfers.of('social-2').rows.size).toBe(0);
      await expect(told()).toMatchFileSnapshot(file(`abort-while-${reason}`));
    },
  );
});

test('roll back', async () => {
  world.create('split', split);
  await reaches('split', 'RollbackKept');
  world.edit('split', { abort: true });
  await ends('split', 'RolledBack');
  world.checkEnd();
  expect(world.transfers.of('social-2').rows.size).toBe(0);
  await expect(told()).toMatchFileSnapshot(file('roll-back'));
});

test('roll back a split into three that is half cut over', async () => {
  world = await MigrationWorld.create({ shards: 1, wanted: 3, empty: 2 });
  world.create('split', { split: { shard: 'social-0', into: 3 } });
  await world.until(['split'], () => world.status('split').cutover?.time !== undefined);
  world.edit('split', { abort: true });
  await ends('split', 'RolledBack');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('roll-back-a-split-into-three-that-is-half-cut-over'));
});

test('an abort after the way back was given up', async () => {
  world.create('split', split);
  await world.until(['split'], () => world.status('split').ending !== undefined);
  world.edit('split', { abort: true });
  await ends('split', 'Completed');
  const refused = world.status('split').conditions?.find(({ type }) => type === 'AbortRefused');
  expect(refused).toMatchObject({ status: 'True', reason: 'TooLate' });
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('an-abort-after-the-way-back-was-given-up'));
});

test('a fence that undoes itself twice', async () => {
  world.transfers.undo = ['LockTimeout', 'StreamBehind'];
  world.create('split', split);
  await ends('split', 'Completed');
  expect(world.status('split').cutover).toMatchObject({
    tries: 2,
    lastUndone: expect.stringContaining('StreamBehind'),
  });
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-fence-that-undoes-itself-twice'));
});

test('a slot that is lost while copying', async () => {
  world.create('split', split);
  await reaches('split', 'Copying');
  world.transfers.loseSlots();
  await ends('split', 'Completed');
  expect(world.status('split').copies).toBe(2);
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-slot-that-is-lost-while-copying'));
});

test('a slot that is lost after reads have switched', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.transfers.loseSlots();
  await reaches('split', 'Copying');
  await reaches('split', 'WaitingForApproval');
  world.annotate('split', { 'shardwright.io/cutover': 'now' });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-slot-that-is-lost-after-reads-have-switched'));
});

test('two slots that are lost after reads have switched', async () => {
  world = await MigrationWorld.create({ shards: 1, wanted: 3, empty: 2 });
  world.create('split', { split: { shard: 'social-0', into: 3 }, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.transfers.loseSlots('forward');
  await reaches('split', 'Copying');
  world.edit('split', { cutover: { mode: 'Automatic' } });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('two-slots-that-are-lost'));
});

test('a row that differs before reads switch', async () => {
  world.create('split', split);
  await reaches('split', 'Copying');
  // Row 2624 is in slot 64, which moves.
  world.transfers.of('social-2').rows.set(2624, 'nobody wrote this');
  await reaches('split', 'VerificationFailed');
  expect(world.map.epoch).toBe(2);
  world.edit('split', { abort: true });
  await ends('split', 'Aborted');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-row-that-differs-before-reads-switch'));
});

test('a row that differs after the cutover is never cleaned up', async () => {
  world.create('split', split);
  await world.until(['split'], () => world.status('split').cutover?.time !== undefined);
  // Something that no stream carries: the source still has what was written.
  world.transfers.of('social-2').rows.set(96, 'damaged');
  await reaches('split', 'VerificationFailed');
  for (let i = 0; i < 20; i++) {
    await world.clock.advance(60_000);
    await world.pass('split');
  }
  expect(readyReason('split')).toBe('VerificationFailed');
  expect(world.transfers.of('social-0').journals.size).toBe(1);
  await expect(told()).toMatchFileSnapshot(file('a-row-that-differs-after-the-cutover-is-never-cleaned-up'));
});

test('a manual cutover', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  for (let i = 0; i < 5; i++) await world.pass('split');
  expect(readyReason('split')).toBe('WaitingForApproval');
  world.edit('split', { cutover: { mode: 'Manual', approved: true } });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-manual-cutover'));
});

test('a window', async () => {
  world.create('split', { ...split, cutover: { window: '5-10 10 * * *' } });
  await reaches('split', 'OutsideWindow');
  await ends('split', 'Completed');
  expect(world.status('split').cutover?.time).toMatch(/^2026-11-21T10:05:0/);
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-window'));
});

test('deleted before the cutover', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.delete('split');
  await world.until(['split'], () => !world.exists('split'));
  world.checkEnd();
  expect(world.transfers.of('social-2').rows.size).toBe(0);
  await expect(told()).toMatchFileSnapshot(file('deleted-before-the-cutover'));
});

test('deleted after the cutover', async () => {
  world.create('split', split);
  await reaches('split', 'RollbackKept');
  world.delete('split');
  await world.until(['split'], () => !world.exists('split'));
  world.checkEnd();
  expect(world.transfers.of('social-2').rows.size).toBeGreaterThan(0);
  await expect(told()).toMatchFileSnapshot(file('deleted-after-the-cutover'));
});

test('deleted while a shard is out of reach, then let go', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.transfers.of('social-2').unreachable = true;
  world.delete('split');
  await reaches('split', 'ShardUnreachable');
  for (let i = 0; i < 5; i++) await world.pass('split');
  expect(world.exists('split')).toBe(true);
  world.annotate('split', { 'shardwright.io/let-go': 'true' });
  await world.until(['split'], () => !world.exists('split'));
  await expect(told()).toMatchFileSnapshot(file('deleted-while-a-shard-is-out-of-reach-then-let-go'));
});

test('the fleet is deleted', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.cluster = undefined;
  await ends('split', 'Failed');
  world.delete('split');
  await world.until(['split'], () => !world.exists('split'));
  await expect(told()).toMatchFileSnapshot(file('the-fleet-is-deleted'));
});

test('suspended and resumed', async () => {
  world.create('split', split);
  await reaches('split', 'Copying');
  world.edit('split', { suspend: true });
  await reaches('split', 'Suspended');
  for (let i = 0; i < 5; i++) await world.pass('split');
  expect(world.map.epoch).toBe(2);
  world.edit('split', { suspend: false });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('suspended-and-resumed'));
});

test('a check that fails, is accepted and passed', async () => {
  const finding = { severity: 'error', message: 'a table is unlogged', remedy: 'Log it.' } as const;
  world.transfers.findings = [{ check: 'UnloggedTable', ...finding, overridable: true }];
  world.create('split', split);
  await reaches('split', 'PreflightFailed');
  expect(world.transfers.of('social-0').journals.size).toBe(0);
  world.edit('split', { preflight: { ignore: ['UnloggedTable'] } });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-check-that-fails-is-accepted-and-passed'));
});

test('a dry run that is then started', async () => {
  world.create('split', { ...split, dryRun: true });
  await reaches('split', 'DryRun');
  expect(world.status('split')).toMatchObject({ estimate: { rows: 4 }, phase: 'Pending' });
  expect(world.status('split').transfers).toBeUndefined();
  world.edit('split', { dryRun: false });
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-dry-run-that-is-then-started'));
});

test('a second migration of the same shard', async () => {
  world = await MigrationWorld.create({ shards: 2, wanted: 4, empty: 2 });
  world.create('first', { ...split, rollbackWindow: '24h' });
  await world.clock.advance(1000);
  world.create('second', split);
  await world.until(['first', 'second'], () => world.status('second').phase === 'Completed');
  expect(world.status('first').phase).toBe('Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-second-migration-of-the-same-shard'));
});

test('a schema change closes the way back', async () => {
  world.create('split', { ...split, rollbackWindow: '24h' });
  await reaches('split', 'RollbackKept');
  world.behind.add('social-0');
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-schema-change-closes-the-way-back'));
});

test('a shard that is not ready holds the cutover up', async () => {
  world.create('split', { ...split, cutover: { mode: 'Manual' } });
  await reaches('split', 'WaitingForApproval');
  world.unready.add('social-2');
  world.edit('split', { cutover: { approved: true, mode: 'Manual' } });
  await reaches('split', 'ShardNotReady');
  world.unready.clear();
  await ends('split', 'Completed');
  world.checkEnd();
  await expect(told()).toMatchFileSnapshot(file('a-shard-that-is-not-ready-holds-the-cutover-up'));
});

test('what cannot be planned', async () => {
  world.create('unknown', { split: { shard: 'social-9', into: 2 } });
  world.create('many', { split: { shard: 'social-0', into: 9 } });
  world.create('merge', { merge: { shards: ['social-0', 'social-1'] } });
  world.create('mars', { move: { shard: 'social-1', region: 'mars' } });
  world.create('foreign', { slots: { from: 'social-0', to: 'social-2', ranges: [{ first: 0, last: 200 }] } });
  world.create('slow', { move: { shard: 'social-2', storageClassName: 'slow' } });
  world.create('keys', { split: { shard: 'social-0', at: ['40'] } });
  for (const name of ['unknown', 'many', 'merge', 'mars', 'foreign', 'slow', 'keys']) await world.pass(name);
  expect(world.map.epoch).toBe(2);
  await expect(told()).toMatchFileSnapshot(file('what-cannot-be-planned'));
});
