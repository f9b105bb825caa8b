import { createHmac, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { defaultSettings, mergeConfig, parseConfigOptions } from '../../../src/host/config.ts';
import { createAccessLog } from '../../../src/mds/access-log.ts';
import { createByteCache } from '../../../src/mds/byte-cache.ts';
import { parseForm } from '../../../src/mds/form.ts';
import { launchArgv, NODE_FLAGS } from '../../../src/mds/launch.ts';
import { createSigner } from '../../../src/mds/signer.ts';
import { isSameToken, parseUuid, uuidOfToken } from '../../../src/mds/token.ts';
import { createSecret, metadataToken } from '../../../src/pod/metadata.ts';

const uuid = '01234567-89ab-4def-8123-456789abcdef';

function encodeForm(fields: readonly (readonly [string, Uint8Array])[]): Buffer {
  const percent = (bytes: Uint8Array) =>
    [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  return Buffer.from(fields.map(([name, value]) => `${name}=${percent(value)}`).join('&'));
}

describe('a token', () => {
  it('names its pod, and is the same as itself only', () => {
    const token = metadataToken(uuid, createSecret());
    expect(uuidOfToken(token)).toBe(uuid);
    expect(isSameToken(token, token)).toBe(true);
    expect(isSameToken(token, metadataToken(uuid, createSecret()))).toBe(false);
    expect(isSameToken(token.slice(1), token.slice(1))).toBe(false);
  });

  it('of any other kind names none', () => {
    const token = metadataToken(uuid, createSecret());
    const wrong = ['', 'x', uuid, `${token}A`, token.slice(1), token.replace(/^./, '/')];
    expect(wrong.map(uuidOfToken)).toEqual(wrong.map(() => undefined));
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const found = uuidOfToken(text);
        expect(found === undefined || parseUuid(found) !== undefined).toBe(true);
      }),
    );
  });
});

describe('a form', () => {
  it('gives back any bytes', () => {
    const field = fc.tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.uint8Array({ maxLength: 200 }));
    fc.assert(
      fc.property(fc.uniqueArray(field, { maxLength: 16, selector: ([name]) => name }), (all) => {
        const parsed = parseForm(encodeForm(all));
        expect(parsed).toEqual(new Map(all.map(([name, bytes]) => [name, Buffer.from(bytes)])));
      }),
    );
  });

  it('has plus for a space, and may have empty parts', () => {
    expect(parseForm(Buffer.from('&content=a+b%2B&&uuid&x='))).toEqual(
      new Map([
        ['content', Buffer.from('a b+')],
        ['uuid', Buffer.alloc(0)],
        ['x', Buffer.alloc(0)],
      ]),
    );
  });

  it('is refused with a reason when it is malformed, ambiguous or endless', () => {
    for (const bad of ['content=%', 'content=%4', 'content=%4g', '%zz=1'])
      expect(parseForm(Buffer.from(bad))).toBe('a "%" in the form is not %XX');
    expect(parseForm(Buffer.from('content=a&content=b'))).toBe('a field stands twice in the form');
    const many = Array.from({ length: 17 }, (_, i) => `f${String(i)}=1`).join('&');
    expect(parseForm(Buffer.from(many))).toBe('too many fields in the form');
  });

  it('of any bytes is fields or a reason', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const parsed = parseForm(bytes);
        expect(typeof parsed === 'string' || parsed instanceof Map).toBe(true);
      }),
    );
  });
});

describe('a signature', () => {
  const key = randomBytes(64);
  const signer = createSigner(key);
  const id = parseUuid(uuid) ?? Buffer.alloc(0);

  it('is the HMAC-SHA512 of uuid and content, in base64', () => {
    const content = Buffer.from([0, 1, 0xff, 10]);
    const wanted = createHmac('sha512', key)
      .update(Buffer.concat([id, content]))
      .digest('base64');
    expect(signer.sign(id, content)).toBe(wanted);
    expect(signer.verify(id, content, Buffer.from(wanted))).toBe(true);
  });

  it('holds for its pod, its content and its own spelling only', () => {
    const content = Buffer.from('hello');
    const right = signer.sign(id, content);
    const other = Buffer.from(id).fill(1, 15);
    expect(signer.verify(other, content, Buffer.from(right))).toBe(false);
    expect(signer.verify(id, Buffer.from('hello '), Buffer.from(right))).toBe(false);
    const spelled = [
      right.replaceAll('=', ''),
      ` ${right}`,
      `${right}\n`,
      right.slice(4),
      Buffer.from(right, 'base64').toString('base64url'),
      Buffer.from(right, 'base64').toString('hex'),
      '',
    ];
    for (const text of spelled) expect(signer.verify(id, content, Buffer.from(text))).toBe(false);
    expect(createSigner(randomBytes(64)).verify(id, content, Buffer.from(right))).toBe(false);
  });

  it('cannot be made of any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(signer.verify(id, Buffer.from('hello'), bytes)).toBe(false);
      }),
    );
  });
});

describe('the cache', () => {
  it('forgets what was not used for the longest, and never holds more than its size', () => {
    const cache = createByteCache<string>(10);
    cache.set('a', 'A', 4);
    cache.set('b', 'B', 4);
    expect(cache.get('a')).toBe('A');
    cache.set('c', 'C', 4);
    expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual(['A', undefined, 'C']);
    cache.set('d', 'D', 11);
    expect(['a', 'b', 'c', 'd'].map((key) => cache.get(key))).toEqual(Array(4).fill(undefined));
    cache.set('e', 'E', 10);
    cache.set('e', 'F', 10);
    expect(cache.get('e')).toBe('F');
  });
});

describe('the access log', () => {
  it('has one line per request, whatever the caller wrote', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'jp-log-'));
    const fd = openSync(path.join(dir, 'log'), 'w');
    const log = createAccessLog(fd);
    const entry = {
      at: new Date(Date.UTC(2030, 0, 2, 3, 4, 5, 6)),
      remote: '127.0.0.2',
      method: 'GET',
      status: 200,
      bytes: 36,
      ms: 0.25,
    };
    log.add({ ...entry, subject: { pod: uuid, path: '/pod/uuid' } });
    log.add({ ...entry, subject: undefined, method: 'X\n\u001b[31m' });
    log.add({ ...entry, subject: { pod: undefined, path: '/\r\nfake \u009b' } });
    log.add({ ...entry, subject: { pod: undefined, path: `/${'x'.repeat(5000)}` } });
    await log.close();
    closeSync(fd);
    const lines = readFileSync(path.join(dir, 'log'), 'utf8').split('\n');
    rmSync(dir, { recursive: true });
    expect(lines.slice(0, 3)).toEqual([
      '2030-01-02T03:04:05.006Z 127.0.0.2 01234567 GET /pod/uuid 200 36 0.3',
      '2030-01-02T03:04:05.006Z 127.0.0.2 - X%0a%1b[31m - 200 36 0.3',
      '2030-01-02T03:04:05.006Z 127.0.0.2 - GET /%0d%0afake%20%9b 200 36 0.3',
    ]);
    expect(lines[3]?.length).toBeLessThan(300);
    expect(lines).toHaveLength(5);
  });

  it('loses lines, and says how many, when nobody reads them', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'jp-log-'));
    const fd = openSync(path.join(dir, 'log'), 'w');
    const log = createAccessLog(fd);
    const line = {
      at: new Date(0),
      remote: '::1',
      subject: { pod: uuid, path: `/${'y'.repeat(190)}` },
      method: 'GET',
      status: 404,
      bytes: 1,
      ms: 1,
    };
    for (let i = 0; i < 5000; i += 1) log.add(line);
    await log.close();
    closeSync(fd);
    const text = readFileSync(path.join(dir, 'log'), 'utf8');
    rmSync(dir, { recursive: true });
    const lines = text.trimEnd().split('\n');
    expect(text.length).toBeLessThan(300 * 1024);
    expect(lines.at(-1)).toBe(`${String(5000 - (lines.length - 1))} lines lost`);
  });
});

describe('the start of the service by root', () => {
  const { config } = mergeConfig(
    defaultSettings({ platform: 'linux', packageDir: '/opt/jp' }),
    parseConfigOptions(['mds.listen=127.0.0.1,br0,fd00::1', 'root.mountpoint=/srv/jp']),
  );
  const facts = {
    account: { uid: 990 },
    gid: 980,
    node: '/usr/bin/node',
    script: '/opt/jp/d/m.cjs',
  };

  it('shows it its program and the three folders that it reads, and binds what is an address', () => {
    const argv = launchArgv(config, { ...facts, sockets: 0 });
    const valuesOf = (flag: string) => argv.filter((_, i) => argv[i - 1] === flag);
    expect(argv.slice(0, 2)).toEqual(['/opt/jp/shim/build/jetpack-shim', 'mds']);
    expect(valuesOf('--listen')).toEqual(['127.0.0.1', 'fd00::1']);
    expect(valuesOf('--program')).toEqual(['/usr/bin', '/opt/jp/d']);
    expect(valuesOf('--data')).toEqual(['/srv/jp/pods', '/srv/jp/images', '/srv/jp/mds']);
    expect([...valuesOf('--uid'), ...valuesOf('--gid')]).toEqual(['990', '980']);
    expect(valuesOf('-o')).toContain('mds.listen=127.0.0.1,br0,fd00::1');
    expect(argv).toContain('--jitless');
  });

  it('has the flags that its unit has in the environment, where a passed socket needs them', () => {
    const unit = readFileSync(
      path.join(import.meta.dirname, '../../../share/systemd/jetpack-mds.service'),
      'utf8',
    );
    expect(unit).toContain(`"NODE_OPTIONS=${NODE_FLAGS.join(' ')}"`);
  });

  it('binds nothing beside the sockets that a service manager gave', () => {
    expect(launchArgv(config, { ...facts, sockets: 1 })).not.toContain('--listen');
  });
});
