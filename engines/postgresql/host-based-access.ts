/** pg_hba.conf and pg_ident.conf: SCRAM over TLS for everybody who comes by network, socket peers inside the pod. */
import { roles } from './names.ts';

/** First match wins. Nothing without TLS matches, so it is refused. */
export const hostBasedAccess: readonly string[] = [
  `local all ${roles.superuser} peer map=members`,
  `local replication ${roles.replication} peer map=members`,
  `local all ${roles.pooler} peer`,
  // The pooler hands application logins through with their own SCRAM keys.
  'local all all scram-sha-256',
  `hostssl replication ${roles.replication} all scram-sha-256`,
  // The worker that synchronizes logical slots is an ordinary connection of the replication login.
  `hostssl ${roles.superuser} ${roles.replication} all scram-sha-256`,
  `hostssl all ${roles.replication} all reject`,
  `hostssl all ${roles.pooler} all reject`,
  'hostssl all all all scram-sha-256',
];

export const identityMap: readonly string[] = [
  `members postgres ${roles.superuser}`,
  `members postgres ${roles.replication}`,
];
