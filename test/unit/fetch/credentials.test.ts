import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { FetchError, HostError } from '../../../src/errors.ts';
import type { Run, RunOptions } from '../../../src/exec/exec.ts';
import { readAuthFolders } from '../../../src/fetch/auth/auth-folder.ts';
import { normaliseKey, placesAbove } from '../../../src/fetch/auth/credential.ts';
import { configFiles, createCredentials } from '../../../src/fetch/auth/credentials.ts';
import type { FetchPorts } from '../../../src/fetch/ports.ts';
import { readRegistrySettings } from '../../../src/fetch/registry/registry-settings.ts';
import { testClient } from '../../support/registry-client.ts';
import { TestFolder } from '../../support/test-folder.ts';

const folder = new TestFolder();
afterEach(() => folder.remove());

const base64 = (text: string) => Buffer.from(text).toString('base64');
const login = (user: string, password = 'pw') => ({ kind: 'password', user, password });

function find(place: string, ports: Partial<FetchPorts>) {
  return createCredentials(testClient(ports).ports).find(place);
}

/** Docker's configuration in the home of the user. */
function docker(config: object, more: Partial<FetchPorts> = {}): Partial<FetchPorts> {
  return { homeDir: folder.json({ '.docker/config.json': config }), ...more };
}

function throwing(work: () => unknown): { readonly code: string; readonly message: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof FetchError || error instanceof HostError) return error;
    throw error;
  }
  throw new Error('it did not throw');
}

describe('the files with credentials', () => {
  it('are looked at in their order', async () => {
    const entry = (user: string) => ({ auths: { 'example.com': { auth: base64(`${user}:pw`) } } });
    const named = path.join(folder.json({ 'a.json': entry('named') }), 'a.json');
    const runtime = folder.json({ 'containers/auth.json': entry('runtime') });
    const dockerDir = folder.json({ 'config.json': entry('docker-dir') });
    const home = folder.json({ '.docker/config.json': entry('home') });
    const auth = folder.json({
      'x.json': {
        rktKind: 'dockerAuth',
        rktVersion: 'v1',
        registries: ['example.com'],
        credentials: { user: 'auth-d', password: 'pw' },
      },
    });
    const environment = {
      REGISTRY_AUTH_FILE: named,
      XDG_RUNTIME_DIR: runtime,
      DOCKER_CONFIG: dockerDir,
    };
    const folders = { registries: [], auth: [auth], certs: [] };
    const of = (ports: Partial<FetchPorts>) => find('example.com/app', { homeDir: home, ...ports });
    expect(await of({ environment, folders })).toEqual(login('auth-d'));
    expect(await of({ environment })).toEqual(login('named'));
    expect(await of({ environment: { ...environment, REGISTRY_AUTH_FILE: undefined } })).toEqual(
      login('runtime'),
    );
    expect(await of({ environment: { DOCKER_CONFIG: dockerDir } })).toEqual(login('docker-dir'));
    expect(await of({})).toEqual(login('home'));
    expect(await find('example.com/app', {})).toBeUndefined();
    expect(configFiles({ environment: {}, homeDir: '/root' })).toEqual([
      '/run/containers/0/auth.json',
      '/root/.docker/config.json',
    ]);
  });

  it('give the nearest place above', async () => {
    const ports = docker({
      auths: {
        'example.com': { auth: base64('host:pw') },
        'example.com/team': { auth: base64('team:pw') },
        'example.com/team/app': { username: 'app', password: 'pw' },
        'example.com/empty': {},
        'https://index.docker.io/v1/': { auth: base64('hub:p:w\0\0') },
        'https://old.example.com/v2/': { identitytoken: 'id' },
      },
    });
    const user = async (place: string) => find(place, ports);
    expect(await user('example.com/team/app')).toEqual(login('app'));
    expect(await user('example.com/team/other')).toEqual(login('team'));
    expect(await user('example.com/teammate')).toEqual(login('host'));
    expect(await user('example.com/empty/app')).toEqual(login('host'));
    expect(await user('example.com:5000/team/app')).toBeUndefined();
    expect(await user('docker.io/library/alpine')).toEqual(login('hub', 'p:w'));
    expect(await user('old.example.com/app')).toEqual({ kind: 'identity-token', token: 'id' });
  });

  it.each([
    ['that is no JSON', '{"auths":{"x":{"auth":"c2VjcmV0'],
    ['with an auth that is none', '{"auths":{"example.com":{"auth":"c2VjcmV0"}}}'],
    ['with another shape', '{"auths":{"example.com":{"auth":["c2VjcmV0"]}}}'],
  ])('%s is an error without what is in it', async (_name, text) => {
    const dir = folder.make({ 'config.json': text });
    const error = await find('example.com/app', { environment: { DOCKER_CONFIG: dir } }).then(
      () => undefined,
      (reason: unknown) => reason as FetchError,
    );
    expect(error).toBeInstanceOf(FetchError);
    expect(error?.code).toBe('FETCH_CREDENTIALS');
    expect(error?.message).toContain(`${dir}/config.json`);
    expect(`${error?.message ?? ''} ${String(error?.stack)} ${String(error?.cause)}`).not.toMatch(
      /c2Vj/,
    );
  });

  it('are not waited for when they are FIFOs', async () => {
    const homeDir = folder.make({});
    mkdirSync(path.join(homeDir, '.docker'));
    execFileSync('mkfifo', [path.join(homeDir, '.docker/config.json')]);
    await expect(find('example.com/app', { homeDir })).rejects.toThrow('it is no file');
  });

  it('that everybody may read are told of', async () => {
    const dir = folder.json({ 'config.json': { auths: { x: { auth: base64('a:b') } } } }, 0o644);
    const client = testClient({ environment: { DOCKER_CONFIG: dir } });
    await createCredentials(client.ports).find('x/app');
    expect(client.warnings.join()).toContain(`chmod 0600 ${dir}/config.json`);
  });
});

describe('credential helpers', () => {
  function helper(answer: { readonly status?: number; readonly stdout: string }) {
    const calls: { readonly argv: readonly string[]; readonly options: RunOptions }[] = [];
    const run: Run = (argv, options = {}) => {
      calls.push({ argv, options });
      return { status: answer.status ?? 0, signal: undefined, stderr: '', stdout: answer.stdout };
    };
    const bin = folder.make({ 'docker-credential-store': '', 'docker-credential-ecr-login': '' });
    return { calls, ports: { run, helperFolders: ['/nowhere', bin] }, bin };
  }

  it('get the server on their standard input, and of our environment what they need', async () => {
    const { calls, ports, bin } = helper({ stdout: '{"Username":"u","Secret":"s"}' });
    const environment = {
      HOME: '/root',
      AWS_PROFILE: 'x',
      SECRET_THING: 'no',
      XDG_RUNTIME_DIR: '/r',
    };
    const config = docker({ credsStore: 'store' }, { ...ports, environment });
    expect(await find('example.com/app', config)).toEqual(login('u', 's'));
    expect(calls[0]?.argv).toEqual([path.join(bin, 'docker-credential-store'), 'get']);
    expect(calls[0]?.options.input).toBe('example.com');
    expect(calls[0]?.options.env).toEqual({
      HOME: '/root',
      AWS_PROFILE: 'x',
      XDG_RUNTIME_DIR: '/r',
    });
    await find('docker.io/library/alpine', config);
    expect(calls[1]?.options.input).toBe('https://index.docker.io/v1/');
  });

  it('of a registry go before what is written down, that of all behind it', async () => {
    const { ports } = helper({ stdout: '{"Username":"helper","Secret":"s"}' });
    const config = {
      credHelpers: { 'example.com': 'ecr-login' },
      credsStore: 'store',
      auths: {
        'example.com': { auth: base64('file:pw') },
        'other.example.com': { auth: base64('file:pw') },
        'empty.example.com': {},
      },
    };
    expect(await find('example.com/app', docker(config, ports))).toEqual(login('helper', 's'));
    expect(await find('other.example.com/app', docker(config, ports))).toEqual(login('file'));
    expect(await find('empty.example.com/app', docker(config, ports))).toEqual(
      login('helper', 's'),
    );
  });

  it('tell an identity token by the name of the user', async () => {
    const { ports } = helper({ stdout: '{"Username":"<token>","Secret":"id"}' });
    expect(await find('example.com/app', docker({ credsStore: 'store' }, ports))).toEqual({
      kind: 'identity-token',
      token: 'id',
    });
  });

  it('may have nothing', async () => {
    const { ports } = helper({
      status: 1,
      stdout: 'credentials not found in native keychain\n',
    });
    expect(await find('example.com/app', docker({ credsStore: 'store' }, ports))).toBeUndefined();
  });

  it.each([
    ['fail', { status: 2, stdout: 'the secret is hunter2' }],
    ['answer nonsense', { stdout: 'hunter2' }],
    ['answer without a secret', { stdout: '{"Username":"hunter2","Secret":""}' }],
  ])('that %s are named, without what they said', async (_name, answer) => {
    const { ports } = helper(answer);
    const error = await find('example.com/app', docker({ credsStore: 'store' }, ports)).then(
      () => undefined,
      (reason: unknown) => reason as FetchError,
    );
    expect(error?.code).toBe('FETCH_CREDENTIALS');
    expect(error?.message).toContain('docker-credential-store');
    expect(`${error?.message ?? ''}${error?.remedies.join() ?? ''}`).not.toContain('hunter2');
  });

  it.each(['missing', '../../bin/sh', 'a b'])('%j is not there, or is none', async (name) => {
    const { ports, calls } = helper({ stdout: '' });
    await expect(find('example.com/app', docker({ credsStore: name }, ports))).rejects.toThrow(
      'docker-credential-',
    );
    expect(calls).toEqual([]);
  });
});

describe('auth.d', () => {
  const entry = (user: string, registries: readonly string[] = ['example.com']) => ({
    rktKind: 'dockerAuth',
    rktVersion: 'v1',
    registries,
    credentials: { user, password: 'pw' },
  });
  const read = (...folders: readonly string[]) => {
    const warnings: string[] = [];
    return { ...readAuthFolders(folders, (text) => void warnings.push(text)), warnings };
  };

  it('has local files over those of the system', () => {
    const system = folder.json({ 'a.json': entry('system', ['example.com', 'b.example.com']) });
    const local = folder.json({ 'b.json': entry('local') });
    const { registries } = read(system, local);
    expect(registries.get('example.com')).toEqual(login('local'));
    expect(registries.get('b.example.com')).toEqual(login('system'));
  });

  it('knows the kind for downloads over https, basic and oauth', () => {
    const dir = folder.json({
      'a.json': {
        jetpackKind: 'auth',
        jetpackVersion: 'v1',
        domains: ['example.com'],
        type: 'basic',
        credentials: { user: 'u', password: 'p' },
      },
      'b.json': {
        rktKind: 'auth',
        rktVersion: 'v1',
        domains: ['b.example.com'],
        type: 'oauth',
        credentials: { token: 't' },
      },
    });
    expect([...read(dir).domains]).toEqual([
      ['example.com', `Basic ${base64('u:p')}`],
      ['b.example.com', 'Bearer t'],
    ]);
  });

  it('looks neither at other files nor into folders', () => {
    const dir = folder.json({
      'a.txt': { nonsense: 1 },
      'sub/b.json': { nonsense: 1 },
      'c.json': entry('c'),
    });
    expect(read(dir, '/nowhere').registries.size).toBe(1);
  });

  it('refuses a registry twice in one folder', () => {
    const dir = folder.json({ 'a.json': entry('a'), 'b.json': entry('b') });
    expect(throwing(() => read(dir)).message).toContain('a.json already');
  });

  it('warns of what everybody may read', () => {
    const dir = folder.json({ 'a.json': entry('a') }, 0o644);
    expect(read(dir).warnings.join()).toContain('everybody may read it');
    expect(read(folder.json({ 'a.json': entry('a') }, 0o640)).warnings).toEqual([]);
  });

  it.each([
    ['another kind', { rktKind: 'paths', rktVersion: 'v1' }],
    ['another version', { ...entry('a'), rktVersion: 'v2' }],
    ['no registry', entry('a', [])],
    ['an unknown field', { ...entry('a'), registry: 'x' }],
    ['an unknown field further in', { ...entry('a'), credentials: { user: 'a', pass: 'x' } }],
    [
      'the type aws',
      { rktKind: 'auth', rktVersion: 'v1', domains: ['x'], type: 'aws', credentials: {} },
    ],
    ['a list', []],
  ])('refuses %s, naming the file', (_name, value) => {
    const dir = folder.json({ 'a.json': value });
    const error = throwing(() => read(dir));
    expect(error.code).toBe('FETCH_CREDENTIALS');
    expect(error.message).toContain(path.join(dir, 'a.json'));
  });
});

describe('registries.d', () => {
  const head = { jetpackKind: 'registry', jetpackVersion: 'v1' };

  it('tells mirrors in their order, and the registry last', () => {
    const dir = folder.json({
      'hub.json': {
        ...head,
        registry: 'index.docker.io',
        mirrors: ['http://10.0.0.5:5000', 'https://mirror.example.com/hub/'],
      },
    });
    const endpoints = readRegistrySettings([dir]).endpointsOf('docker.io');
    expect(
      endpoints.map(({ origin, prefix, place, isMirror }) => ({
        at: origin.href,
        prefix,
        place,
        isMirror,
      })),
    ).toEqual([
      { at: 'http://10.0.0.5:5000/', prefix: '', place: '10.0.0.5:5000', isMirror: true },
      {
        at: 'https://mirror.example.com/',
        prefix: 'hub/',
        place: 'mirror.example.com/hub',
        isMirror: true,
      },
      { at: 'https://registry-1.docker.io/', prefix: '', place: 'docker.io', isMirror: false },
    ]);
  });

  it('allows http where it is told to, and on this host', () => {
    const dir = folder.json({
      'a.json': { ...head, registry: 'plain.example.com:5000', plainHttp: true },
      'b.json': { ...head, registry: 'b.example.com', mirrors: ['http://m.example.com'] },
    });
    const settings = readRegistrySettings([dir]);
    const allows = (url: string) => settings.isPlainHttpAllowed(new URL(url));
    expect(settings.endpointsOf('plain.example.com:5000')[0]?.origin.href).toBe(
      'http://plain.example.com:5000/',
    );
    expect(allows('http://plain.example.com:5000/x')).toBe(true);
    expect(allows('http://plain.example.com/x')).toBe(false);
    expect(allows('http://m.example.com/x')).toBe(true);
    expect(allows('http://127.0.0.1:5000/x')).toBe(true);
    expect(allows('http://b.example.com/x')).toBe(false);
  });

  it('only leaves out TLS on this host where nothing is configured', () => {
    const dir = folder.json({
      'a.json': { ...head, registry: 'localhost:5001', plainHttp: false },
    });
    const settings = readRegistrySettings([dir]);
    const may = (registry: string) => settings.endpointsOf(registry).at(-1)?.mayLackTls;
    expect(may('localhost:5000')).toBe(true);
    expect(may('127.0.0.1:5000')).toBe(true);
    expect(may('[::1]:5000')).toBe(true);
    expect(may('localhost:5001')).toBe(false);
    expect(may('example.com')).toBe(false);
  });

  it('has later folders over earlier ones', () => {
    const system = folder.json({ 'a.json': { ...head, registry: 'example.com', plainHttp: true } });
    const local = folder.json({ 'b.json': { ...head, registry: 'example.com' } });
    const settings = readRegistrySettings([system, local]);
    expect(settings.endpointsOf('example.com')[0]?.origin.protocol).toBe('https:');
  });

  it.each([
    ['an unknown field', { registry: 'x.example', mirror: [] }, '"mirror"'],
    ['a mirror without a scheme', { registry: 'x.example', mirrors: ['10.0.0.5'] }, 'mirrors[0]'],
    [
      'a mirror with a password',
      { registry: 'x.example', mirrors: ['https://u:p@h'] },
      'mirrors[0]',
    ],
    ['a registry that is a URL', { registry: 'https://x.example' }, 'registry'],
    ['no registry', {}, 'registry: is missing'],
    ['a relative ca', { registry: 'x.example', ca: 'ca.crt' }, 'ca'],
    ['a certificate without a key', { registry: 'x.example', cert: '/c' }, 'cert and key'],
    ['TLS and none', { registry: 'x.example', plainHttp: true, ca: '/c' }, 'without TLS'],
  ])('refuses %s', (_name, value, words) => {
    const dir = folder.json({ 'a.json': { ...head, ...value } });
    const error = throwing(() => readRegistrySettings([dir]));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(words);
    expect(error.message).toContain(path.join(dir, 'a.json'));
  });

  it('refuses a registry twice in one folder', () => {
    const file = { ...head, registry: 'example.com' };
    const dir = folder.json({ 'a.json': file, 'b.json': file });
    expect(throwing(() => readRegistrySettings([dir])).message).toContain('a.json already');
  });
});

describe('places', () => {
  it('are the name and all that is above it', () => {
    expect(placesAbove('example.com:5000/a/b')).toEqual([
      'example.com:5000/a/b',
      'example.com:5000/a',
      'example.com:5000',
    ]);
  });

  it('are normal once they are normal', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('', 'http://', 'https://'),
        fc.domain(),
        fc.constantFrom('', '/', '/v1/', '/v2', '/team/app'),
        (scheme, host, rest) => {
          const normal = normaliseKey(`${scheme}${host}${rest}`);
          expect(normaliseKey(normal)).toBe(normal);
          expect(normal.split('/')[0]).toBe(host.toLowerCase());
        },
      ),
    );
  });
});
