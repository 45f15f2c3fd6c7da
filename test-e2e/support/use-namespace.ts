/** A namespace for each test file. */
import { afterAll, beforeAll } from 'vitest';
import { clearNamespace, createNamespace } from './lifecycle.ts';
import type { TestNamespace } from './namespace.ts';

/** To be called at the top of a test file. The namespace exists while its tests run. */
export function useNamespace(purpose: string): { readonly current: TestNamespace } {
  let namespace: TestNamespace | undefined;
  beforeAll(async () => {
    namespace = await createNamespace(purpose);
  });
  afterAll(async () => {
    if (namespace) await clearNamespace(namespace);
  });
  return {
    get current() {
      if (!namespace) throw new Error('the namespace exists only while tests run');
      return namespace;
    },
  };
}
