/** Liveness and readiness as plain functions; whoever has an HTTP server asks them. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  /** One line per check, for people: `ok name` or `failing name: why`. */
  readonly body: string;
}

/** Undefined when all is well, else why not. Cheap, and does no I/O: it is asked every few seconds. */
export type HealthCheck = () => string | undefined;

export class Health {
  readonly #live = new Map<string, HealthCheck>();
  readonly #ready = new Map<string, HealthCheck>();

  /** Failing means: only a restart helps. */
  addLive(name: string, check: HealthCheck): void {
    this.#live.set(name, check);
  }

  /** Failing means: not now. */
  addReady(name: string, check: HealthCheck): void {
    this.#ready.set(name, check);
  }

  /** `/healthz` */
  readonly live = (): HealthAnswer => answer(this.#live);

  /** `/readyz`: alive, and ready. */
  readonly ready = (): HealthAnswer => answer(new Map([...this.#live, ...this.#ready]));
}

function answer(checks: ReadonlyMap<string, HealthCheck>): HealthAnswer {
  let status: HealthAnswer['status'] = 200;
  const lines: string[] = [];
  for (const [name, check] of checks) {
    const problem = ask(check);
    if (problem !== undefined) status = 503;
    lines.push(problem === undefined ? `ok ${name}` : `failing ${name}: ${problem}`);
  }
  return { status, body: `${lines.join('\n')}\n` };
}

function ask(check: HealthCheck): string | undefined {
  try {
    return check();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
