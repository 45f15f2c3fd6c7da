import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuthError, inClusterAuth, kubeConfigAuth } from '#kernel/auth.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'auth-'));
});

afterEach(() => rm(dir, { recursive: true }));

function put(file: string, text: string): Promise<void> {
  return writeFile(join(dir, file), text);
}

describe('in a pod', () => {
  const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

  beforeEach(async () => {
    await Promise.all([put('namespace', 'ns\n'), put('ca.crt', 'CA'), put('token', 'one\n')]);
  });

  it('reads the mounted files, each time anew', async () => {
    const auth = await inClusterAuth(env, dir);
    expect([auth.server.href, auth.namespace]).toEqual(['https://10.96.0.1/', 'ns']);
    const first = await auth.credentials({ fresh: false });
    expect(first).toEqual({ tls: { ca: 'CA' }, headers: { authorization: 'Bearer one' } });
    await put('token', 'two');
    expect((await auth.credentials({ fresh: false })).headers).toEqual({ authorization: 'Bearer two' });
  });

  it('takes an IPv6 address', async () => {
    const auth = await inClusterAuth({ ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' }, dir);
    expect(auth.server.href).toBe('https://[fd00::1]/');
  });

  it('says what is missing', async () => {
    await expect(inClusterAuth({}, dir)).rejects.toThrow('KUBERNETES_SERVICE_HOST is not set');
    await rm(join(dir, 'namespace'));
    await expect(inClusterAuth(env, dir)).rejects.toBeInstanceOf(AuthError);
  });
});

function load(user: object): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'c', server: 'https://example.invalid:6443', caData: btoa('CA') }],
    users: [{ name: 'u', ...user }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u', namespace: 'ns' }],
    currentContext: 'x',
  });
  return config;
}

describe('from a kubeconfig', () => {
  it('takes certificates and tokens', async () => {
    const auth = kubeConfigAuth(() => load({ token: 't', certData: btoa('CERT'), keyData: btoa('KEY') }));
    expect([auth.server.host, auth.namespace]).toEqual(['example.invalid:6443', 'ns']);
    expect(await auth.credentials({ fresh: false })).toEqual({
      tls: { ca: 'CA', cert: 'CERT', key: 'KEY' },
      headers: { authorization: 'Bearer t' },
    });
  });

  it('reads the file again when the server no longer accepts what it said', async () => {
    let token = 'one';
    const auth = kubeConfigAuth(() => load({ token }));
    token = 'two';
    expect((await auth.credentials({ fresh: false })).headers['authorization']).toBe('Bearer one');
    expect((await auth.credentials({ fresh: true })).headers['authorization']).toBe('Bearer two');
  });

  it('refuses one without a current cluster', () => {
    expect(() => kubeConfigAuth(() => new KubeConfig())).toThrow(AuthError);
  });
});
