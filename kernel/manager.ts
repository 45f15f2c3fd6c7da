/**
 * Puts a program together and takes it apart again: caches first, controllers once all caches are filled and only while
 * this replica leads; on stop, controllers finish what they are at, the lease is given back, caches end last.
 */
import type { Controller } from '#kernel/controller.ts';
import type { Health } from '#kernel/health.ts';
import type { LeaderElector } from '#kernel/leader.ts';
import type { Log } from '#kernel/log.ts';
import type { Resource } from '#kernel/resource.ts';

/** A reflector, whatever its kind. */
export interface RunnableCache {
  readonly resource: Resource;
  readonly synced: boolean;
  run(signal: AbortSignal): Promise<void>;
  whenSynced(signal: AbortSignal): Promise<void>;
}

export interface ManagerOptions {
  readonly reflectors: readonly RunnableCache[];
  readonly controllers: readonly Controller[];
  /** Without one the controllers run at once: for a single replica and for tests. */
  readonly elector?: LeaderElector;
  readonly health?: Health;
  /** For reconciles under way when a stop begins; default 10,000. */
  readonly graceMs?: number;
  readonly log: Log;
}

export class Manager {
  readonly #options: ManagerOptions;

  constructor(options: ManagerOptions) {
    this.#options = options;
    const { health, reflectors, controllers } = options;
    for (const reflector of reflectors) {
      // Ready also while the API server is away: what is served from the caches goes on.
      health?.addReady(`cache-${reflector.resource.plural}`, () =>
        reflector.synced ? undefined : 'the first list is not complete',
      );
    }
    for (const controller of controllers) {
      health?.addLive(`controller-${controller.name}`, () => {
        const stuck = controller.stuck();
        return stuck.length === 0 ? undefined : `stuck at ${stuck.join(', ')}`;
      });
    }
  }

  /** Resolves after a complete stop. */
  async run(stop: AbortSignal): Promise<void> {
    const { reflectors, elector, log } = this.#options;
    const end = new AbortController();
    const caches = Promise.all(reflectors.map(reflector => reflector.run(end.signal)));
    try {
      log.info({ kinds: reflectors.map(reflector => reflector.resource.plural) }, 'filling caches');
      const filled = await this.#filled(stop);
      if (!filled) return;
      if (elector) await elector.run(stop, fence => this.#runControllers(stop, fence));
      else await this.#runControllers(stop, undefined);
    } finally {
      end.abort();
      await caches;
      log.info({}, 'stopped');
    }
  }

  async #filled(stop: AbortSignal): Promise<boolean> {
    try {
      await Promise.all(this.#options.reflectors.map(reflector => reflector.whenSynced(stop)));
      return true;
    } catch (error) {
      if (stop.aborted) return false;
      throw error;
    }
  }

  async #runControllers(stop: AbortSignal, fence: AbortSignal | undefined): Promise<void> {
    const { controllers, graceMs = 10_000, log } = this.#options;
    log.info({ controllers: controllers.map(controller => controller.name) }, 'starting controllers');
    await Promise.all(controllers.map(controller => controller.run({ stop, fence, graceMs })));
  }
}
