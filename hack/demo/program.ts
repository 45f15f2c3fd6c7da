/** Runs a program of the demo as a pod beside the fleet. */
import { type ProgramPod, programConfigMap, programPod } from '#hack/program-pod.ts';
import { SetupError } from '#hack/setup-error.ts';
import type { Kubectl } from './fleet.ts';

export interface Program {
  /** What it has printed so far. */
  log(): Promise<string>;
  /** Asks it to end, waits until it did. Resolves with all that it printed. */
  finish(): Promise<string>;
}

const runningWithin = '--timeout=180s';
const endedWithin = '--timeout=120s';

/** The program and what it was made from are gone afterwards, whatever `work` did. */
export async function withProgram<T>(
  kubectl: Kubectl,
  options: ProgramPod,
  work: (program: Program) => Promise<T>,
): Promise<T> {
  const { name } = options;
  await remove(kubectl, name);
  try {
    const program = { memory: '64Mi', ...options };
    for (const object of [await programConfigMap(program), programPod(program)]) {
      await kubectl(['create', '--filename=-'], JSON.stringify(object));
    }
    await kubectl(['wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Running', runningWithin]);
    return await work({
      log: () => kubectl(['logs', name]),
      async finish() {
        await kubectl(['exec', name, '--', 'node', '-e', "process.kill(1, 'SIGTERM')"]);
        try {
          await kubectl(['wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', endedWithin]);
        } catch (cause) {
          const end = (await kubectl(['logs', name, '--tail=20'])).slice(-2000);
          throw new SetupError('CommandFailed', `the program ${name} failed: ${end}`, 'This is a bug.', {
            cause,
          });
        }
        return kubectl(['logs', name]);
      },
    });
  } finally {
    await remove(kubectl, name);
  }
}

async function remove(kubectl: Kubectl, name: string): Promise<void> {
  await kubectl([
    'delete',
    `pod/${name}`,
    `configmap/${name}`,
    '--ignore-not-found',
    '--grace-period=1',
    '--wait',
  ]);
}
