import { describe, expect, it } from 'vitest';

import { buildRequest, parseRunOptions } from '../../../src/cli/run-request.ts';
import { parseMount, parseVolume } from '../../../src/cli/run-values.ts';
import { parseRunWords } from '../../../src/cli/run-grammar.ts';

describe('--volume', () => {
  it('reads host and empty volumes', async () => {
    expect(await parseVolume('www,kind=host,source=/srv/www,readOnly=true')).toEqual({
      name: 'www',
      kind: 'host',
      source: '/srv/www',
      readOnly: true,
    });
    expect(await parseVolume('tmp,kind=empty,mode=1777,uid=5,gid=6')).toEqual({
      name: 'tmp',
      kind: 'empty',
      mode: '1777',
      uid: 5,
      gid: 6,
    });
  });

  it.each([
    ['www', 'says no kind'],
    ['www,kind=disk', 'kind is host or empty'],
    ['www,kind=host', 'needs source'],
    ['www,kind=host,source=relative', 'absolute'],
    ['Www,kind=empty', 'name'],
    ['www,kind=empty,source=/x', 'source'],
    ['www,kind=host,source=/x,mode=0755', 'mode'],
    ['www,kind=empty,mode=999', 'mode'],
    ['www,kind=empty,size=5', 'no key "size"'],
    ['www,kind=empty,kind=empty', 'stands twice'],
    ['www,kind=host,source=/x,readOnly=yes', 'readOnly is true or false'],
    ['www,kind=empty,uid=-1', 'uid'],
    ['www,kind=empty,uid=', 'uid'],
    ['www,kind=empty,gid=0x10', 'gid'],
  ])('refuses %s', async (text, message) => {
    await expect(parseVolume(text)).rejects.toThrow(message);
  });
});

describe('--mount', () => {
  it('reads the long and the short form', () => {
    expect(parseMount('volume=www,target=/var/www')).toEqual({ volume: 'www', target: '/var/www' });
    expect(parseMount('www:/var/www')).toEqual({ volume: 'www', target: '/var/www' });
  });

  it.each(['www', 'volume=www', 'volume=www,target=relative', 'target=/x'])(
    'refuses %s',
    (text) => {
      expect(() => parseMount(text)).toThrow();
    },
  );
});

describe('--restart and --stop-signal', () => {
  const annotationsOf = async (line: string) =>
    (await buildRequest(parseRunWords(line.split(' ')), () => ({}) as never)).apps.map(
      (app) => app.annotations,
    );

  it('are of every app before the first image, and of one after its own', async () => {
    expect(await annotationsOf('--restart=always a --stop-signal=QUIT b --restart no')).toEqual([
      [
        { name: 'jetpack/restart', value: 'always' },
        { name: 'jetpack/stop-signal', value: 'QUIT' },
      ],
      [{ name: 'jetpack/restart', value: 'no' }],
    ]);
  });

  it('refuse what does not exist, and what an annotation says too', async () => {
    await expect(annotationsOf('a --restart=sometimes')).rejects.toThrow('no policy "sometimes"');
    await expect(annotationsOf('a --stop-signal=NOPE')).rejects.toThrow('no signal "NOPE"');
    await expect(
      annotationsOf('a --restart=no --annotation=jetpack/restart=always'),
    ).rejects.toThrow('stands twice');
  });
});

describe('flags of run', () => {
  const options = (line: string) => parseRunOptions(parseRunWords(line.split(' ')));

  it('gives a pod loopback only unless the network of the host is asked for', () => {
    expect(options('a').network).toEqual({ kind: 'none' });
    expect(options('--net=host a').network).toEqual({ kind: 'host' });
  });

  it('refuses networks that do not exist, with their names', () => {
    expect(() => options('--net=default a')).toThrow('no network "default"');
  });

  it('tells what may be fetched from what turns the isolation off', () => {
    const { isolation, fetch } = options(
      '--insecure-options=image,devices --pull-policy=update docker://a',
    );
    expect(isolation).toEqual({ capabilities: true, seccomp: true, paths: true });
    expect(fetch).toEqual({ pullPolicy: 'update', insecure: { image: true, devices: true } });
  });

  it('turns only the named parts of the isolation off', () => {
    expect(options('--insecure-options=seccomp,paths a').isolation).toEqual({
      capabilities: true,
      seccomp: false,
      paths: false,
    });
    expect(options('--insecure-options=all-run a').isolation).toEqual({
      capabilities: false,
      seccomp: false,
      paths: false,
    });
    expect(() => options('--insecure-options=everything a')).toThrow('has no "everything"');
  });

  it('refuses a terminal for several apps', () => {
    expect(() => options('-t a b')).toThrow('pods of one app');
  });
});
