/**
 * One table of one shard, day by day from the oldest: write a file, name it in the manifest, read it back and compare, and only then
 * delete. Where a run was cut off is read from the manifest of the day and the database; nothing else is remembered.
 *
 *   file written     not named yet: the next run sweeps it away
 *   file named       `Exported`: verified before anything else, or discarded and written anew
 *   file verified    `Verified`: its rows are deleted, those that are left
 *   deletion named   `Deleted`
 */

import { saysOf } from '../columns/choose.ts';
import { dayName } from '../columns/time-types.ts';
import { MismatchError, UnsuitableTableError } from '../errors.ts';
import type { TableOutcome } from '../outcome.ts';
import type { ArchiveTable } from '../settings.ts';
import { dayFolder, partFile, partNumber, type ShardFolder, shardFolder } from '../store/layout.ts';
import { type Manifest, type Part, readManifest, sweep, writeManifest } from '../store/manifest.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { deleteRows } from './delete-rows.ts';
import { cutoffOf, type ExportedFile, exportPart, nextDay } from './export-part.ts';
import { lockTable, unlockTable } from './guard.ts';
import type { Hooks } from './hooks.ts';
import type { Limits } from './limits.ts';
import type { Sessions } from './sessions.ts';
import { checkDeletable, readTable, sameColumns, type TableFacts } from './table.ts';
import { columnsOf, verifyPart } from './verify-part.ts';

export interface Run {
  readonly sessions: Sessions;
  readonly store: ObjectStore;
  /** Of the fleet's incarnation in the bucket. */
  readonly path: string;
  readonly shard: string;
  readonly deleteAfter: boolean;
  readonly limits: Limits;
  readonly hooks: Hooks;
  /** Asked between any two files. */
  readonly signal: AbortSignal;
}

/** Counts into `outcome` as it goes, so that a run that fails can tell how far it came. */
export async function archiveTable(run: Run, settings: ArchiveTable, outcome: TableOutcome): Promise<void> {
  const { admin } = run.sessions;
  const table = await readTable(admin, settings);
  if (run.deleteAfter) await checkDeletable(admin, table);
  await lockTable(admin, table.name);
  try {
    const cutoff = await cutoffOf(admin, table.time, settings.olderThanSeconds);
    const archive = new TableArchive(run, table, cutoff, outcome);
    for (let day = await archive.firstDay(); day !== undefined; ) {
      await archive.archiveDay(day);
      day = await nextDay(admin, table, cutoff, day + 1);
    }
    outcome.upTo = cutoff;
  } finally {
    await unlockTable(admin, table.name).catch(() => undefined);
  }
}

class TableArchive {
  readonly #run: Run;
  readonly #table: TableFacts;
  readonly #cutoff: string;
  readonly #outcome: TableOutcome;
  readonly #folder: ShardFolder;

  constructor(run: Run, table: TableFacts, cutoff: string, outcome: TableOutcome) {
    this.#run = run;
    this.#table = table;
    this.#cutoff = cutoff;
    this.#outcome = outcome;
    this.#folder = { path: run.path, table: table.name, shard: run.shard };
  }

  /** Rows that stay in the database are not looked at again: the newest day that there are files of is where to go on. */
  async firstDay(): Promise<number | undefined> {
    const { store, sessions, deleteAfter } = this.#run;
    let from: number | undefined;
    if (!deleteAfter) {
      const within = shardFolder(this.#folder);
      const days = (await store.list(within, 'folders')).map(key => dayNumber(key.slice(within.length, -1)));
      from = days.reduce((latest, day) => (latest === undefined || day > latest ? day : latest), from);
    }
    return nextDay(sessions.admin, this.#table, this.#cutoff, from);
  }

  async archiveDay(day: number): Promise<void> {
    const { store, deleteAfter } = this.#run;
    const date = dayName(day);
    let manifest = (await readManifest(store, this.#folder, date)) ?? this.#emptyManifest(date);
    await sweep(store, this.#folder, date, manifest);
    for (const part of manifest.parts) manifest = await this.#finish(manifest, part);
    // What is deleted is not seen again; what is left behind a file was changed, and is archived as it is now.
    let after = deleteAfter ? undefined : manifest.parts.at(-1)?.last;
    for (;;) {
      this.#run.signal.throwIfAborted();
      const written = await this.#export(manifest, day, after);
      if (written === undefined) return;
      manifest = written;
      const part = written.parts.at(-1);
      if (part === undefined) return;
      manifest = await this.#carryOn(manifest, part);
      after = part.last;
    }
  }

  /** A part of an earlier run. A file that nobody relied on yet is written anew if it is not as it should be. */
  async #finish(manifest: Manifest, part: Part): Promise<Manifest> {
    if (part.state === 'Deleted') return manifest;
    if (part.state === 'Verified' && !this.#run.deleteAfter) return manifest;
    try {
      return await this.#carryOn(manifest, part);
    } catch (error) {
      if (error instanceof MismatchError && part.state === 'Exported') return this.#discard(manifest, part);
      throw error;
    }
  }

  async #export(
    manifest: Manifest,
    day: number,
    after: Part['last'] | undefined,
  ): Promise<Manifest | undefined> {
    const { sessions, limits, store, hooks } = this.#run;
    const range = { day, cutoff: this.#cutoff, ...(after && { after }) };
    const file = await exportPart(sessions.admin, this.#table, range, limits, {
      'shardwright.table': this.#table.name,
      'shardwright.shard': this.#run.shard,
      'shardwright.date': manifest.date,
    });
    if (file === undefined) return undefined;
    const numbers = manifest.parts.map(part => partNumber(part.file) ?? 0);
    const name = partFile(Math.max(0, ...numbers) + 1);
    await this.#stillAlone();
    await store.put(
      dayFolder(this.#folder, manifest.date) + name,
      file.bytes,
      'application/vnd.apache.parquet',
    );
    await hooks.step('file written');
    const next = { ...manifest, parts: [...manifest.parts, this.#partOf(name, file)] };
    await this.#name(next, 'file named');
    return next;
  }

  /** From where the part is to where it should be. A {@link MismatchError} comes before any row is deleted. */
  async #carryOn(manifest: Manifest, part: Part): Promise<Manifest> {
    const { store, hooks } = this.#run;
    const bytes = await verifyPart(store, this.#folder, manifest.date, part);
    if (part.state !== 'Exported') return this.#erase(manifest, part, bytes);
    const verified: Part = { ...part, state: 'Verified', verifiedAt: hooks.now().toISOString() };
    const next = replace(manifest, verified);
    await this.#name(next, 'file verified');
    this.#outcome.rows += part.rows;
    this.#outcome.parts += 1;
    this.#outcome.bytes += part.bytes;
    return this.#erase(next, verified, bytes);
  }

  async #erase(manifest: Manifest, part: Part, bytes: Uint8Array): Promise<Manifest> {
    const { deleteAfter, sessions, limits, hooks } = this.#run;
    // The file is right for rows as they were. Those that are still there have other columns now, and are archived again.
    if (!deleteAfter || !sameColumns(part.columns, this.#table.columns)) return manifest;
    const clients = { admin: sessions.admin, eraser: await sessions.eraser() };
    const file = { bytes, columns: columnsOf(part) };
    const { deleted, kept } = await deleteRows(clients, this.#table, file, limits, hooks);
    this.#outcome.deleted += deleted;
    this.#outcome.kept += kept;
    const next = replace(manifest, { ...part, state: 'Deleted', deletedAt: hooks.now().toISOString(), kept });
    await this.#name(next, 'deletion named');
    return next;
  }

  async #discard(manifest: Manifest, part: Part): Promise<Manifest> {
    const next = { ...manifest, parts: manifest.parts.filter(({ file }) => file !== part.file) };
    await this.#name(next, 'file discarded');
    await this.#run.store.delete(dayFolder(this.#folder, manifest.date) + part.file);
    return next;
  }

  async #name(manifest: Manifest, step: Parameters<Hooks['step']>[0]): Promise<void> {
    await this.#stillAlone();
    await writeManifest(this.#run.store, this.#folder, manifest);
    await this.#run.hooks.step(step);
  }

  /** The lock goes with the connection: who has lost it must not write over what another run has written since. */
  async #stillAlone(): Promise<void> {
    await this.#run.sessions.admin.query('SELECT');
  }

  #emptyManifest(date: string): Manifest {
    return {
      format: 1,
      table: this.#table.name,
      shard: this.#run.shard,
      date,
      column: this.#table.time.name,
      parts: [],
    };
  }

  #partOf(name: string, file: ExportedFile): Part {
    return {
      file: name,
      state: 'Exported',
      rows: file.rows,
      hash: String(file.hash),
      bytes: file.bytes.length,
      sha256: file.sha256,
      cutoff: this.#cutoff,
      first: [...file.first],
      last: [...file.last],
      columns: file.columns.map(column => ({
        name: column.name,
        declared: column.declared,
        base: column.base,
        ...(column.element !== undefined && { element: column.element }),
        modifier: column.modifier,
        notNull: column.notNull,
        stored: saysOf(column),
        asText: column.asText,
      })),
      exportedAt: this.#run.hooks.now().toISOString(),
    };
  }
}

function replace(manifest: Manifest, part: Part): Manifest {
  return { ...manifest, parts: manifest.parts.map(each => (each.file === part.file ? part : each)) };
}

/** Of a folder's name, days since 1970-01-01. */
function dayNumber(name: string): number {
  const day = Date.parse(`${name}T00:00:00Z`) / 86_400_000;
  if (Number.isNaN(day))
    throw new UnsuitableTableError(
      `${name} is a folder of the archive that is no day`,
      'Move away what somebody else has put there.',
    );
  return day;
}
