/** Where a shard is reached follows from its name: the map does not spend a byte on hosts. */

/** PgBouncer's port on both Services. */
export const poolerPort = 6432;

/** The read-write Service: the primary. */
export function writeHost(shard: string, namespace: string): string {
  return `${shard}.${namespace}.svc`;
}

/** The read-only Service: the replicas. */
export function readHost(shard: string, namespace: string): string {
  return `${shard}-ro.${namespace}.svc`;
}

/** The application's login at a generation. */
export function writeLogin(generation: number): string {
  return `app_g${generation}`;
}

export function readLogin(generation: number): string {
  return `app_ro_g${generation}`;
}
