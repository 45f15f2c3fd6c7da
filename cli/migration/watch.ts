/**
 * Follows a migration until it ends. On a terminal the picture is drawn over in place; elsewhere each change is a line. The
 * object is read again and again: it changes about once a second, and an API server that is away for a while is no reason to
 * stop.
 */
import type { MigrationEnd } from '#crds/api/migration/status.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import { clock } from '../units.ts';
import { draw, oneLine } from './draw.ts';
import type { Migrations } from './migrations.ts';
import { endingOf, hasCutOver } from './story.ts';

export interface WatchOptions {
  /** `cutover`: not the time in which it can be rolled back. */
  readonly until: 'end' | 'cutover';
}

const lookEveryMs = 1000;
/** The API server may be upgraded or fail over; it is not away for longer. */
const patienceMs = 60_000;

const exitCodes: Readonly<Record<MigrationEnd, number>> = {
  Completed: 0,
  Failed: 1,
  Aborted: 3,
  RolledBack: 4,
};

/** Resolves with the exit code that tells how it ended. */
export async function watchMigration(
  io: Io,
  migrations: Migrations,
  name: string,
  { until }: WatchOptions,
): Promise<number> {
  let migration = await migrations.get(name);
  const screen = io.columns === undefined ? undefined : new Screen(io, io.columns);
  let last = '';
  let seenMs = io.now().getTime();
  for (;;) {
    if (screen !== undefined) screen.show(draw(migration, io.now(), screen.columns));
    else {
      const { key, text } = oneLine(migration);
      if (key !== last) io.out(`${clock(io.now())} ${text}\n`);
      last = key;
    }
    const ending = endingOf(migration);
    if (ending !== undefined) return exitCodes[ending];
    if (until === 'cutover' && hasCutOver(migration)) return 0;
    await io.sleep(lookEveryMs);
    try {
      const found = await migrations.find(name);
      if (found === undefined) throw new CliError('Deleted', `ShardMigration ${name} was deleted`, deleted);
      migration = found;
      seenMs = io.now().getTime();
    } catch (error) {
      if (error instanceof CliError || io.now().getTime() - seenMs > patienceMs) throw error;
      screen?.show([...draw(migration, io.now(), screen.columns), '', 'The API server does not answer.']);
    }
  }
}

const deleted =
  'Deleting one means to abort it before its cutover and to finish it after. See who owns what: kubectl shardwright map.';

/** Lines that replace the ones before. */
class Screen {
  readonly columns: number;
  readonly #io: Io;
  #drawn = 0;

  constructor(io: Io, columns: number) {
    this.#io = io;
    this.columns = columns;
  }

  show(lines: readonly string[]): void {
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\r\u001b[J`;
    this.#io.out(`${up}${lines.map(line => `${line}\n`).join('')}`);
    this.#drawn = lines.length;
  }
}
