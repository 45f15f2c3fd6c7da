/** What a run takes from its surroundings. Tests bring their own: to cut it off between any two steps. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Each leaves something behind that outlives the process. */
export type Step =
  | 'file written'
  | 'file named'
  | 'file verified'
  | 'rows deleted'
  | 'deletion named'
  | 'file discarded';

export interface Hooks {
  readonly now: () => Date;
  readonly pause: (ms: number) => Promise<void>;
  /** Called after each step. */
  readonly step: (done: Step) => Promise<void>;
}

export const realHooks: Hooks = {
  now: () => new Date(),
  pause: ms => sleep(ms),
  step: () => Promise.resolve(),
};
