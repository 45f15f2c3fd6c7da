/** PostgreSQL 17 under Patroni, as the controllers see it. */
import type { Engine } from '#engines/engine.ts';
import { backups } from './backup/backups.ts';
import { openBackupSession } from './backup/session.ts';
import { releaseDeadLeader } from './dead-leader.ts';
import { isHeartbeat } from './heartbeat.ts';
import { members } from './members.ts';
import { openTransfer } from './migration/session.ts';
import { serverNames } from './names.ts';
import { namespaceOf } from './object.ts';
import { recovery } from './recovery/recovery.ts';
import { render } from './render.ts';
import { openSession } from './session.ts';

export const postgresql: Engine = {
  type: 'postgresql',
  capabilities: {
    switchover: true,
    synchronousReplication: true,
    movesOwnData: false,
    keyTypes: ['bigint', 'text', 'uuid'],
  },
  render,
  serverNames: shard => serverNames(shard.metadata.name, namespaceOf(shard)),
  members,
  isHeartbeat,
  releaseDeadLeader,
  connect: openSession,
  openTransfer,
  backups,
  openBackupSession,
  recovery,
};
