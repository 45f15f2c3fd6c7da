/** An API server's objects in memory, and a world that keeps what a command prints. */
import { AlreadyExistsError, NotFoundError } from '#kernel/errors.ts';
import type { Patch } from '#kernel/kube-options.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import { kindOf, type Resource } from '#kernel/resource.ts';
import { Backups } from '../backup/backups.ts';
import { Fleet } from '../fleet.ts';
import type { Io } from '../io.ts';
import { type MigrationClient, Migrations } from '../migration/migrations.ts';
import { createProgram } from '../program.ts';
import { type Connect, connect as realConnect } from '../session.ts';

export interface Outcome {
  readonly out: string;
  readonly error: string;
  /** What was run in the foreground, as one line. */
  readonly ran: readonly string[];
  readonly code: number;
}

export class FakeCluster {
  readonly objects: KubeObject[] = [];
  /** Kinds that the API server does not serve. */
  readonly unknownKinds = new Set<string>();
  /** What a program run in the foreground ends with; undefined: there is no such program. */
  exitCode: number | undefined = 0;
  terminal = false;
  columns: number | undefined;
  nowMs = Date.parse('2026-01-02T00:00:00Z');
  /** Called while a command sleeps, after the clock has moved on: the world may change then. */
  onSleep: () => void = () => undefined;
  /** What the last command printed, also if it failed. */
  lastOutput = '';
  /** Sessions that are open. */
  open = 0;

  add(...objects: readonly KubeObject[]): void {
    this.objects.push(...structuredClone(objects));
  }

  /** Runs the plugin with these arguments. Rejects as the command does. */
  async run(...args: readonly string[]): Promise<Outcome> {
    let [out, error, code] = ['', '', 0];
    const ran: string[] = [];
    const io: Io = {
      out: text => {
        out += text;
        this.lastOutput = out;
      },
      error: text => void (error += text),
      now: () => new Date(this.nowMs),
      terminal: this.terminal,
      columns: this.columns,
      sleep: async ms => {
        this.nowMs += ms;
        this.onSleep();
      },
      run: async (command, given) => {
        ran.push([command, ...given].join(' '));
        return this.exitCode;
      },
    };
    const program = createProgram(io, this.#connect, exitCode => void (code = exitCode));
    const all = [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)];
    for (const command of all) command.exitOverride();
    await program.parseAsync(args, { from: 'user' });
    return { out, error, ran, code };
  }

  readonly #connect: Connect = async options => {
    if (options.kubeconfig !== undefined) return realConnect(options);
    this.open++;
    const namespace = options.namespace ?? 'demo';
    return {
      fleet: new Fleet(this.#client, namespace),
      migrations: new Migrations(this.#client, namespace),
      backups: new Backups(this.#client, namespace),
      dial: () => Promise.reject(new Error('there is no network here')),
      kubectlArgs: [`--namespace=${namespace}`],
      close: () => void this.open--,
    };
  };

  readonly #client: MigrationClient = {
    get: async <T extends KubeObject>(
      resource: Resource<T>,
      key: { namespace?: string | undefined; name: string },
    ) => {
      const found = this.#of(resource, key.namespace).find(({ metadata }) => metadata.name === key.name);
      if (found === undefined) throw notFound(resource);
      return found;
    },
    list: async <T extends KubeObject>(
      resource: Resource<T>,
      scope: { namespace?: string | undefined; labelSelector?: string | undefined },
    ) => {
      if (this.unknownKinds.has(resource.kind)) throw notFound(resource);
      const wanted = (scope.labelSelector ?? '')
        .split(',')
        .filter(Boolean)
        .map(each => each.split('='));
      const items = this.#of(resource, scope.namespace).filter(({ metadata }) =>
        wanted.every(([label = '', value]) => metadata.labels?.[label] === value),
      );
      return { items, resourceVersion: '1' };
    },
    create: async object => {
      const { name } = object.metadata;
      if (this.objects.some(each => kindOf(each) === kindOf(object) && each.metadata.name === name)) {
        throw new AlreadyExistsError(409, { message: 'exists' }, { verb: 'create', path: `/${name}` });
      }
      this.add({
        ...object,
        metadata: { ...object.metadata, creationTimestamp: new Date(this.nowMs).toISOString() },
      });
      return object;
    },
    patch: async <T extends KubeObject>(resource: Resource<T>, key: ObjectKey, patch: Patch) => {
      const [found] = this.#of(resource, key.namespace).filter(({ metadata }) => metadata.name === key.name);
      if (found === undefined) throw notFound(resource);
      return Object.assign(found, merged(found, patch.body));
    },
    delete: async (resource, key) => {
      const at = this.objects.findIndex(
        each => kindOf(each) === kindOf(resource) && each.metadata.name === key.name,
      );
      if (at < 0) throw notFound(resource);
      this.objects.splice(at, 1);
    },
  };

  #of<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined): T[] {
    return this.objects.filter(
      (object): object is T =>
        kindOf(object) === kindOf(resource) &&
        (namespace === undefined || object.metadata.namespace === namespace),
    );
  }
}

/** RFC 7396. */
function merged(object: unknown, patch: unknown): Record<string, unknown> {
  const result: Record<string, unknown> = { ...asRecord(object) };
  for (const [key, value] of Object.entries(asRecord(patch))) {
    const nested = typeof value === 'object' && !Array.isArray(value);
    if (value === null) delete result[key];
    else result[key] = nested ? merged(result[key], value) : value;
  }
  return result;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function notFound(resource: Resource): NotFoundError {
  return new NotFoundError(404, { message: 'not found' }, { verb: 'get', path: `/${resource.plural}` });
}
