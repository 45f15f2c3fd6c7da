/** An API server's objects in memory, and a world that keeps what a command prints. */
import { NotFoundError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { kindOf, type Resource } from '#kernel/resource.ts';
import { Fleet, type ObjectReader } from '../fleet.ts';
import type { Io } from '../io.ts';
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
      now: () => new Date('2026-01-02T00:00:00Z'),
      terminal: this.terminal,
      run: async (command, given) => {
        ran.push([command, ...given].join(' '));
        return this.exitCode;
      },
    };
    const program = createProgram(io, this.#connect, exitCode => void (code = exitCode));
    for (const command of [program, ...program.commands]) command.exitOverride();
    await program.parseAsync(args, { from: 'user' });
    return { out, error, ran, code };
  }

  readonly #connect: Connect = async options => {
    if (options.kubeconfig !== undefined) return realConnect(options);
    this.open++;
    const namespace = options.namespace ?? 'demo';
    return {
      fleet: new Fleet(this.#reader, namespace),
      dial: () => Promise.reject(new Error('there is no network here')),
      kubectlArgs: [`--namespace=${namespace}`],
      close: () => void this.open--,
    };
  };

  readonly #reader: ObjectReader = {
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
  };

  #of<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined): T[] {
    return this.objects.filter(
      (object): object is T =>
        kindOf(object) === kindOf(resource) &&
        (namespace === undefined || object.metadata.namespace === namespace),
    );
  }
}

function notFound(resource: Resource): NotFoundError {
  return new NotFoundError(404, { message: 'not found' }, { verb: 'get', path: `/${resource.plural}` });
}
