import { expect, test } from 'vitest';
import type { Job } from '#kernel/resources.ts';
import { sampleShard } from '../testing/shard.ts';
import { recoverJob } from './recover-job.ts';
import { prepareStatements } from './recovered-sql.ts';

const context = {
  image: 'postgres:17',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: {} },
} as const;

test('statements reach the program as they are, though Kubernetes makes one $ of two in a variable', () => {
  const job: Job = recoverJob(
    sampleShard(),
    { name: 'r', job: 'social-0-recover', deadlineSeconds: 60, stanza: 'social-0', claim: 'c', fleet: 'f' },
    context,
  );
  const variable =
    job.spec?.template.spec?.containers[0]?.env?.find(({ name }) => name === 'TASK')?.value ?? '';
  expect(prepareStatements.join()).toContain('$$');
  expect(variable).not.toContain('$');
  expect(JSON.parse(variable)).toMatchObject({ prepare: prepareStatements, stanza: 'social-0' });
});
