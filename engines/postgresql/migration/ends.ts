/**
 * The two databases of a transfer: one administrative connection with each primary, and further ones on request. All of
 * them end with the session, and are cut when its signal aborts.
 */
import type { Client } from 'pg';
import type { Shard } from '#crds/api/shard.ts';
import { EngineError } from '#engines/errors.ts';
import type { End, TransferEnd } from '#engines/migration.ts';
import { administrative, connect, disconnect } from '../connection.ts';
import { roles, serverNames } from '../names.ts';
import { namespaceOf } from '../object.ts';
import { passSetting } from '../transfer-schema-sql.ts';

export interface OpenEnd {
  readonly end: End;
  readonly shard: Shard;
  readonly given: TransferEnd;
  /** What the certificate is checked for: `social-0.fleet.svc`. */
  readonly serverName: string;
  /** The superuser's connection, search_path pg_catalog. One statement at a time: take another for work side by side. */
  readonly client: Client;
  /** Another such connection. End it, or leave that to the session. `settings` are added to the administrative ones. */
  open(settings?: Readonly<Record<string, string>>): Promise<Client>;
  /** One that speaks the replication protocol as well. */
  openReplication(): Promise<Client>;
}

export interface Ends {
  readonly source: OpenEnd;
  readonly target: OpenEnd;
}

/** An end was left out because its shard is gone: only `cleanUp` can do without it. */
export class EndGoneError extends EngineError {
  override readonly name = 'EndGoneError';
  readonly code = 'EndGone';
  readonly remedy = 'Clean up what is left at the other end.';
}

export interface OpenEnds extends AsyncDisposable {
  readonly source?: OpenEnd;
  readonly target?: OpenEnd;
}

export function other(end: End): End {
  return end === 'source' ? 'target' : 'source';
}

/** Throws {@link EndGoneError}. */
export function bothEnds({ source, target }: OpenEnds): Ends {
  if (source && target) return { source, target };
  throw new EndGoneError(`the ${source ? 'target' : 'source'} of the transfer is gone`);
}

/** Throws UnreachableError. */
export async function openEnds(
  ends: { readonly source?: TransferEnd; readonly target?: TransferEnd },
  signal: AbortSignal,
): Promise<OpenEnds> {
  const clients = new Set<Client>();
  const open = async (end: End, given: TransferEnd): Promise<OpenEnd> => {
    const { shard, target } = given;
    const serverName = serverNames(shard.metadata.name, namespaceOf(shard))[0] ?? shard.metadata.name;
    const another = async (settings: Readonly<Record<string, string>> = {}, replication = false) => {
      const client = await connect(
        {
          host: target.primary.host,
          ...(target.ports && { port: target.ports.sql }),
          serverName,
          ca: target.ca,
          user: roles.superuser,
          password: target.passwords.superuser,
          database: shard.spec.engine.database,
          settings: { ...administrative, [passSetting]: 'on', ...settings },
          replication,
        },
        signal,
      );
      clients.add(client);
      client.once('end', () => clients.delete(client));
      return client;
    };
    const openReplication = () => another({}, true);
    return { end, shard, given, serverName, client: await another(), open: another, openReplication };
  };
  const close = async () => {
    await Promise.all([...clients].map(disconnect));
  };
  const opened = await Promise.allSettled([
    ends.source && open('source', ends.source),
    ends.target && open('target', ends.target),
  ]);
  const [source, target] = opened.map(result => (result.status === 'fulfilled' ? result.value : undefined));
  const failed = opened.find(result => result.status === 'rejected');
  if (failed) {
    await close();
    throw failed.reason;
  }
  return { ...(source && { source }), ...(target && { target }), [Symbol.asyncDispose]: close };
}
