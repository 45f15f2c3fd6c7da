import { defineConfig } from 'vitest/config';

/**
 * Three kinds of test, told apart by the end of their name:
 *   *.test.ts      unit: pure or in-process, no cluster, milliseconds each
 *   *.api.test.ts  against one real kube-apiserver with etcd (hack/apiserver.ts starts it once for all files)
 *   *.e2e.test.ts  on the shared kind cluster, a namespace each; those in test-e2e/disruptive one after the other
 */
const shared = { exclude: ['**/node_modules/**', '**/dist/**', '**/.cache/**'] };

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...shared.exclude, '**/*.api.test.ts', '**/*.e2e.test.ts'],
          // The cluster may be coming up meanwhile.
          testTimeout: 30_000,
        },
      },
      {
        test: {
          ...shared,
          name: 'api',
          include: ['**/*.api.test.ts'],
          globalSetup: ['hack/apiserver.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          // They mostly wait for servers.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...shared,
          name: 'e2e',
          include: ['**/*.e2e.test.ts'],
          exclude: [...shared.exclude, 'test-e2e/disruptive/**'],
          globalSetup: ['test-e2e/global-setup.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // These stop what others stand on - nodes, the API server, the operator: alone, one by one, and last.
        test: {
          ...shared,
          name: 'e2e-disruptive',
          include: ['test-e2e/disruptive/**/*.e2e.test.ts'],
          exclude: shared.exclude,
          globalSetup: ['test-e2e/global-setup.ts'],
          testTimeout: 900_000,
          hookTimeout: 600_000,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
