/** Programs of the tests as pods. What they have to say they print, one JSON object a line. */
import { type ProgramPod, programConfigMap, programPod } from '#hack/program-pod.ts';
import { type Pod, Pods } from '#kernel/resources.ts';
import type { TestNamespace } from './namespace.ts';

export interface ProgramOptions extends Omit<ProgramPod, 'labels' | 'image'> {
  /** Label `app` of the pod. */
  readonly app: string;
  /** The operator's if absent. */
  readonly image?: string | undefined;
}

export interface Program {
  /** What it has printed so far. */
  log(): Promise<string>;
  /** Asks it to end, waits until it did, and removes the pod. Resolves with all that it printed. */
  finish(options?: { readonly deadlineMs?: number }): Promise<string>;
  /** Ends it at once. Resolves with what it had printed. */
  remove(): Promise<string>;
}

/** Resolves once it runs. */
export async function startProgram(namespace: TestNamespace, options: ProgramOptions): Promise<Program> {
  const { app, image = namespace.operator.image, ...rest } = options;
  const program = { ...rest, labels: { app }, image };
  const { name } = program;
  await namespace.apply(await programConfigMap(program));
  // One that a failed test has left behind.
  await namespace.delete(Pods, name, { gracePeriodSeconds: 0 }).catch(() => undefined);
  await namespace.gone(Pods, name);
  await namespace.apply(programPod(program));
  await namespace.until(Pods, name, pod =>
    pod?.status?.phase === 'Running' ? undefined : `the pod is ${pod?.status?.phase}`,
  );
  const log = async (): Promise<string> => `${await namespace.kubectl('logs', name)}\n`;
  return {
    log,
    async finish({ deadlineMs = 120_000 } = {}) {
      // It may have ended by itself.
      await namespace
        .kubectl('exec', name, '--', 'node', '-e', "process.kill(1, 'SIGTERM')")
        .catch(() => undefined);
      const pod = await namespace.until(
        Pods,
        name,
        found => (isDone(found) ? undefined : `the program is ${found?.status?.phase}`),
        { deadlineMs },
      );
      const text = await log();
      await namespace.delete(Pods, name, { gracePeriodSeconds: 0 });
      if (pod.status?.phase === 'Failed') {
        const tail = text.slice(-2000);
        throw new Error(
          `the program ${name} failed: ${JSON.stringify(pod.status.containerStatuses)}\n${tail}`,
        );
      }
      return text;
    },
    async remove() {
      const text = await log();
      await namespace.delete(Pods, name, { gracePeriodSeconds: 0 });
      await namespace.gone(Pods, name);
      return text;
    },
  };
}

function isDone(pod: Pod | undefined): boolean {
  return pod?.status?.phase === 'Succeeded' || pod?.status?.phase === 'Failed';
}
