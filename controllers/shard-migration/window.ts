/** Windows of time, as cron fields in UTC: a minute that matches is inside. */
import { Cron } from 'croner';

export interface WindowFacts {
  readonly open: boolean;
  /** When it opens next; undefined when it never does. */
  readonly opens: Date | undefined;
}

/** Undefined when the text is no cron expression, which the API server checks in its form only. */
export function windowAt(expression: string, now: Date): WindowFacts | undefined {
  try {
    const cron = new Cron(expression, { timezone: 'UTC', paused: true });
    const minute = new Date(Math.floor(now.getTime() / 60_000) * 60_000);
    return { open: cron.match(minute), opens: cron.nextRun(now) ?? undefined };
  } catch {
    return undefined;
  }
}
