/**
 * Bringing shards back from the object store onto volumes that nobody uses (docs/adr/0004-backups.md). Two Jobs: one lists what
 * the store holds of a lost fleet, one for each shard fills a volume, recovers to the time asked for, makes sure that nothing on it
 * speaks to the lost fleet, and tells what the shard owned. Both report in the annotation `shardwright.io/report` of their Job.
 * Rendering and reading are pure.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Partition } from '#sharding/partition.ts';
import type { Repository } from './backup.ts';
import type { MergePatch, RenderContext, ShardObjects } from './engine.ts';
import type { End } from './migration.ts';

/** What a Job of a recovery runs with, besides what is its own. */
export interface RecoveryTask {
  /** Unique for this try: the annotation `shardwright.io/request` of the Job, and in its reports. */
  readonly name: string;
  /** Seconds that it may take in all. */
  readonly deadlineSeconds: number;
  /** Name of the Job. */
  readonly job: string;
  /** May read and change the Job; the shard's own if absent. */
  readonly serviceAccount?: string;
  /** Secret with {@link RecoveryEngine.sourceFiles}; that of the shard's own repository if absent. */
  readonly secret?: string;
}

export interface CatalogRequest extends RecoveryTask {
  /** The folder of the lost fleet's incarnations, without a leading slash. */
  readonly path: string;
  readonly cluster: string;
}

export interface RecoverRequest extends RecoveryTask {
  /** The incarnation's folder, without a leading slash; that of the shard's own repository if absent. */
  readonly path?: string;
  /** The shard's part of it. */
  readonly stanza: string;
  /** RFC 3339; the end of the archive if absent. */
  readonly targetTime?: string;
  /** Claim of the volume to fill: that of the shard's first member. */
  readonly claim: string;
  /** Whose volume it is to be: one that was filled for the same fleet from the same is not filled again. */
  readonly fleet: string;
  /**
   * What becomes of a database that is on the volume, once the new one is whole beside it: it is kept in a folder of its own, or goes.
   * Refused if absent.
   */
  readonly replaced?: 'keep' | 'discard';
}

/** What each backup says of its shard, so that a fleet can be placed again before any of it was read. */
export interface ShardAbout {
  readonly ordinal: number;
  readonly region?: string;
  readonly algorithm: string;
  readonly keyType: string;
  readonly slots: number;
}

/** One shard in the store. Times are RFC 3339. */
export interface StoredShard {
  readonly ordinal: number;
  readonly stanza: string;
  /** It can be brought back to any time from here on: when its first good backup ended. */
  readonly since: string;
  /** When the store had the newest of its log. */
  readonly until: string;
  /** As its newest backup says. */
  readonly about?: ShardAbout;
  /** Major version of the database. */
  readonly version: string;
  /** Of the newest backup. */
  readonly databaseBytes: number;
}

export interface StoredIncarnation {
  /** First 8 characters of the uid of the ShardCluster. */
  readonly id: string;
  readonly shards: readonly StoredShard[];
}

export interface CatalogReport {
  readonly kind: 'Catalog';
  readonly request: string;
  readonly at: string;
  readonly state: 'Running' | 'Succeeded' | 'Failed';
  readonly failure?: string;
  /** Once it has succeeded. */
  readonly incarnations?: readonly StoredIncarnation[];
}

/** A transfer that was under way at the time that a shard was brought back to, as this end of it knew it. */
export interface FoundTransfer {
  readonly id: string;
  readonly migration: string;
  readonly side: End;
  /** What moves; absent where an older version wrote the journal. */
  readonly partition?: Partition;
  /** The newest decision: who has the writes, and the marker that the gainer had got before it. */
  readonly decision?: { readonly writes: End; readonly generation: number; readonly marker?: string };
  /** Markers that are here. */
  readonly markers: readonly string[];
}

/** What a shard knew of itself. */
export interface FoundShard {
  /** Absent when nobody ever told it. */
  readonly partition?: Partition;
  /** The highest generations that it has ever known. */
  readonly generation: number;
  readonly readerGeneration: number;
  readonly transfers: readonly FoundTransfer[];
}

export interface RecoveryReport {
  readonly kind: 'Recovery';
  readonly request: string;
  readonly at: string;
  readonly state: 'Running' | 'Succeeded' | 'Failed';
  readonly steps: readonly { readonly name: 'Fetch' | 'Recover' | 'Prepare'; readonly seconds: number }[];
  readonly bytes?: number;
  readonly failure?: string;
  /** Once it has succeeded. `lastCommit`: of the newest transaction that came back, RFC 3339; absent when there was none. */
  readonly result?: {
    readonly systemIdentifier: string;
    readonly lastCommit?: string;
    readonly found: FoundShard;
  };
}

export interface RecoveryEngine {
  /** What a backup is to say of its shard. */
  about(shard: Shard): ShardAbout;
  /** Data of a Secret with which the repositories of a lost fleet are read, by file name. */
  sourceFiles(repository: Omit<Repository, 'stanza'>): Readonly<Record<string, string>>;
  /** `shard` is one that is to be, for its image, labels and namespace. */
  catalogJob(shard: Shard, request: CatalogRequest, context: RenderContext): KubeObject;
  /** `shard` as it is to be. */
  recoverJob(shard: Shard, request: RecoverRequest, context: RenderContext): KubeObject;
  /** The claim of the first member's volume, as the StatefulSet would make it. */
  firstClaim(shard: Shard): KubeObject;
  /**
   * Patches that make the store of the shard's high availability forget members that are no more, and know the database on the first
   * one's volume. Who led, how far it was and who was synchronous would keep what came back from leading. None once it is so.
   */
  forgetMembers(
    shard: Shard,
    objects: Pick<ShardObjects, 'endpoints'>,
    systemIdentifier: string,
  ): readonly MergePatch[];
  /** Undefined when the Job tells nothing, or what cannot be read. */
  parseReport(job: KubeObject): CatalogReport | RecoveryReport | undefined;
}
