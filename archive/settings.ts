/**
 * What one run of the archive is told: one shard, its tables in order, and where the files go. The Job that runs it carries this
 * as JSON in its environment; secrets are files, never part of it.
 */
import { z } from 'zod';

/** Environment variable that holds the settings. */
export const settingsVariable = 'SHARDWRIGHT_ARCHIVE';

/** Files under `secretsFolder` of the settings. `store-ca.crt` is there only where the store needs an authority of its own. */
export const secretFiles = {
  databasePassword: 'database/superuser',
  databaseCa: 'database-ca/ca.crt',
  accessKeyId: 'store/access-key-id',
  secretAccessKey: 'store/secret-access-key',
  storeCa: 'store-ca/ca.crt',
} as const;

const archiveTable = z.object({
  /** As ShardCluster.spec.sharding.tables declares it. */
  name: z.string(),
  /** Column with the time of a row: timestamptz, timestamp (taken as UTC) or date. */
  column: z.string(),
  olderThanSeconds: z.number().positive(),
});
export type ArchiveTable = z.infer<typeof archiveTable>;

export const archiveSettings = z.object({
  shard: z.string(),
  database: z.object({
    host: z.string(),
    /** The engine's own if absent. */
    port: z.int().exactOptional(),
    /** What its certificate is checked for. */
    serverName: z.string(),
    name: z.string(),
  }),
  store: z.object({
    /** `https://host[:port]`; that of Amazon S3 in the region if absent. */
    endpoint: z.string().exactOptional(),
    bucket: z.string(),
    region: z.string(),
    /** Path in the bucket of the fleet's incarnation, without slashes at its ends: that of its backups. */
    path: z.string(),
  }),
  tables: z.array(archiveTable),
  /** Delete rows once they are verified in the store. */
  deleteAfter: z.boolean(),
  secretsFolder: z.string(),
});
export type ArchiveSettings = z.infer<typeof archiveSettings>;
