/** Statuses of migrations as the operator leaves them at one moment and the next, for commands to look at. */
import type { MigrationPhaseStatus, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { KubeObject } from '#kernel/object.ts';

const startTime = '2026-01-02T00:00:00Z';

/** Seconds after the start. */
function at(seconds: number): string {
  return new Date(Date.parse(startTime) + seconds * 1000).toISOString();
}

export function splitOf(
  status: ShardMigrationStatus,
  spec: object = {},
  name = 'split-social-0',
): KubeObject {
  return {
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'ShardMigration',
    metadata: { name, namespace: 'demo', creationTimestamp: startTime },
    spec: { cluster: { name: 'social' }, split: { shard: 'social-0', into: 2 }, ...spec },
    status: JSON.parse(JSON.stringify(status)),
  };
}

function ready(status: 'True' | 'False', reason: string, message: string) {
  return { type: 'Ready', status, reason, message, lastTransitionTime: startTime } as const;
}

const common = {
  operation: 'split social-0 into social-0 and social-4',
  startTime,
  estimate: { rows: 5_000_000, bytes: 1_288_490_188 },
  transfers: [
    {
      id: 'k3v9',
      source: 'social-0',
      target: 'social-4',
      partition: { kind: 'slots', slots: 1024, ranges: [{ first: 128, last: 255 }] },
      whole: false,
      targetEmpty: true,
    },
  ],
  plan: [
    'copy 128 slots from social-0 to social-4',
    'let readers, then writers, of these slots go to social-4',
    'delete their rows from social-0 after 24h',
  ],
  preflight: {
    time: at(1),
    findings: [
      {
        check: 'LongTransaction',
        severity: 'warning',
        message: 'a transaction on social-0 is 40 s old',
        remedy: 'End it: it holds up the first copy.',
        overridable: true,
      },
    ],
  },
} as const satisfies ShardMigrationStatus;

const setUp: MigrationPhaseStatus = { name: 'SetupReplication', startTime, endTime: at(3) };
const copied: MigrationPhaseStatus = {
  name: 'BulkCopy',
  startTime: at(3),
  endTime: at(44),
  rows: 5_012_333,
  bytes: 1_288_490_188,
  bytesPerSecond: 31_457_280,
};
const synced: MigrationPhaseStatus = { name: 'SyncChanges', startTime: at(44), endTime: at(56) };
const reads: MigrationPhaseStatus = { name: 'SwitchReads', startTime: at(56), endTime: at(57) };
const writes: MigrationPhaseStatus = { name: 'SwitchWrites', startTime: at(57), endTime: at(58) };
const cleaning: MigrationPhaseStatus = { name: 'VerifyAndCleanup', startTime: at(58) };
const cutover = { time: at(57), writeStallMs: 12, epoch: 9, tries: 1 };

/** By what is going on; each with the second in which it was seen. */
export const moments = {
  pending: { second: 0, status: {} },
  planned: {
    second: 1,
    status: {
      ...common,
      phase: 'Pending',
      conditions: [ready('True', 'DryRun', 'nothing was touched; no check would stop it')],
    },
  },
  copying: {
    second: 24,
    status: {
      ...common,
      phase: 'BulkCopy',
      phases: [
        setUp,
        {
          name: 'BulkCopy',
          startTime: at(3),
          bytesPerSecond: 31_457_280,
          rowsPerSecond: 122_000,
          secondsLeft: 20,
        },
      ],
      progress: {
        rowsCopied: 2_600_000,
        rowsTotal: 5_000_000,
        bytesCopied: 670_000_000,
        bytesTotal: 1_288_490_188,
        percent: 52,
      },
      conditions: [ready('False', 'Copying', 'copies 128 slots')],
    },
  },
  waiting: {
    second: 56,
    status: {
      ...common,
      phase: 'SwitchWrites',
      phases: [setUp, copied, { ...synced, lagBytes: 0 }, reads, { name: 'SwitchWrites', startTime: at(57) }],
      progress: { percent: 100, lagBytes: 40_960 },
      cutover: { tries: 1, lastUndone: 'a transaction of 1.2 s held a lock on users' },
      conditions: [
        ready('False', 'WaitingForApproval', 'waits for approval: migration cutover split-social-0'),
      ],
    },
  },
  kept: {
    second: 118,
    status: {
      ...common,
      phase: 'VerifyAndCleanup',
      phases: [setUp, copied, synced, reads, writes, { ...cleaning, rows: 2_506_100 }],
      progress: { percent: 100, lagBytes: 0 },
      cutover,
      rollbackUntil: at(86_457),
      conditions: [ready('True', 'RollbackKept', 'social-4 owns its slots')],
    },
  },
  completed: {
    second: 86_470,
    status: {
      ...common,
      phase: 'Completed',
      phases: [setUp, copied, synced, reads, writes, { ...cleaning, endTime: at(86_466) }],
      cutover,
      completionTime: at(86_466),
      conditions: [ready('True', 'Completed', 'social-4 owns its slots')],
    },
  },
  stalled: {
    second: 70,
    status: {
      ...common,
      phase: 'SyncChanges',
      phases: [setUp, copied, { name: 'SyncChanges', startTime: at(44), lagBytes: 900_000_000 }],
      verification: {
        time: at(60),
        stream: 'forward',
        matches: false,
        rows: 5_012_333,
        differences: ['users 17: name differs'],
      },
      conditions: [
        ready('False', 'RowsDiffer', 'rows differ'),
        {
          type: 'Stalled',
          status: 'True',
          reason: 'RowsDiffer',
          message: '1 row differs: abort this migration and look at users 17',
          lastTransitionTime: at(60),
        },
      ],
    },
  },
  aborted: {
    second: 90,
    status: {
      ...common,
      phase: 'Aborted',
      phases: [setUp, { ...copied, endTime: at(20) }],
      completionTime: at(84),
      conditions: [ready('False', 'Aborted', 'everything was undone')],
    },
  },
} as const satisfies Record<string, { second: number; status: ShardMigrationStatus }>;
