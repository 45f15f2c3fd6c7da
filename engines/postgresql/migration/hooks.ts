/** What a transfer session takes from its surroundings. Tests bring their own: to cut it off anywhere, or to break what keeps it safe. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pace } from './short-lock.ts';

/** What a safety test must notice when it is left out. */
export type Sabotage = 'old sessions stay' | 'no origin filter' | 'no decision record';

export interface Hooks {
  readonly pace: Pace;
  readonly now: () => number;
  /** Called between any two steps of the fence, with the name of the one that is done. */
  readonly step: (done: string) => Promise<void>;
  readonly sabotage?: Sabotage;
}

export const realHooks: Hooks = {
  pace: { pause: ms => sleep(ms), random: Math.random },
  now: Date.now,
  step: () => Promise.resolve(),
};
