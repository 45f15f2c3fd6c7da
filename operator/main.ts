/** The program: configuration from the environment, a stop on SIGTERM or SIGINT, and an exit code that says how it went. */
import { postgresql } from '#engines/postgresql/engine.ts';
import { defaultAuth } from '#kernel/auth.ts';
import { createLog } from '#kernel/log.ts';
import { parseConfig } from './config.ts';
import { createOperator } from './operator.ts';

/** Longer than the grace of reconciles under way, shorter than the pod's terminationGracePeriodSeconds. */
const STOP_WITHIN_MS = 25_000;

async function main(): Promise<number> {
  const startLog = createLog({ level: 'info', name: 'shardwright' });
  try {
    const config = parseConfig(process.env);
    const log = createLog({ level: config.logLevel, name: 'shardwright' });
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ signal }, 'stopping');
        stop.abort(new Error(`received ${signal}`));
        setTimeout(() => {
          log.error({ withinMs: STOP_WITHIN_MS }, 'giving up on an orderly stop');
          process.exit(1);
        }, STOP_WITHIN_MS).unref();
      });
    }
    const operator = createOperator({ config, auth: await defaultAuth(), log, engines: [postgresql] });
    operator.metrics.collectProcessMetrics();
    await operator.run(stop.signal);
    return 0;
  } catch (error) {
    startLog.error({ err: error }, 'ending after an error');
    return 1;
  }
}

process.exitCode = await main();
