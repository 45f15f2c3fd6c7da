/** The base image under its public name, made from Debian's packages where it cannot be pulled. */
import { ensureDebootstrap } from '#hack/cluster/docker.ts';
import { step } from '#hack/progress.ts';
import { run, tryRun } from '#hack/run.ts';
import { debianImage, debianSuite } from '#hack/versions.ts';

export async function ensureDebianImage(): Promise<void> {
  if (await imageExists(debianImage)) return;
  await step(`make ${debianImage} from packages`, async () => {
    await ensureDebootstrap();
    await run('docker', ['import', '--change', 'CMD ["bash"]', '-', debianImage], {
      from: ['mmdebstrap', '--quiet', '--variant=minbase', '--include=ca-certificates', debianSuite, '-'],
    });
  });
}

export async function imageExists(reference: string): Promise<boolean> {
  const found = await tryRun('docker', ['image', 'inspect', '--format', '{{.Id}}', reference]);
  return found.code === 0;
}
