/** Global set-up of the api tests: one API server for all test files, which find it with api-test.ts. */
import type { TestProject } from 'vitest/node';
import { type ApiServerAccess, LocalApiServer } from '#hack/local-apiserver.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    apiServer: ApiServerAccess;
  }
}

let server: LocalApiServer | undefined;

export async function setup(project: TestProject): Promise<void> {
  server = await LocalApiServer.start();
  project.provide('apiServer', server.access);
}

export async function teardown(): Promise<void> {
  await server?.stop();
}
