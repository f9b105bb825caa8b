import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { UsageError } from '../../../src/errors.ts';
import {
  parseDockerRef,
  referenceOf,
  renderDockerRef,
  toAppcName,
} from '../../../src/fetch/docker-ref.ts';
import { isStrictIdentifier } from '../../../src/schema/appc.ts';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}`;

describe('parseDockerRef', () => {
  it.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['docker://alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['team/app', 'docker.io/team/app:latest'],
    ['docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['index.docker.io/alpine:edge', 'docker.io/library/alpine:edge'],
    ['docker.io/library/alpine', 'docker.io/library/alpine:latest'],
    ['example.com/app', 'example.com/app:latest'],
    ['example.com/a/b/c:1', 'example.com/a/b/c:1'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:1', 'localhost:5000/app:1'],
    ['registry:5000/app', 'registry:5000/app:latest'],
    ['Registry/app', 'Registry/app:latest'],
    ['127.0.0.1:5000/app', '127.0.0.1:5000/app:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['[2001:db8::1]/team/app:v1', '[2001:db8::1]/team/app:v1'],
    ['local/app', 'docker.io/local/app:latest'],
    [`alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`],
    [`alpine:3.20@${DIGEST}`, `docker.io/library/alpine:3.20@${DIGEST}`],
    ['a__b/c-_d'.replace('-_', '--'), 'docker.io/a__b/c--d:latest'],
    ['app:V1.2-x_Y', 'docker.io/library/app:V1.2-x_Y'],
    ['my.app:_x', 'docker.io/library/my.app:_x'],
  ])('reads %s as %s', (text, whole) => {
    expect(renderDockerRef(parseDockerRef(text))).toBe(whole);
  });

  it('asks for the digest where there is a tag too', () => {
    expect(referenceOf(parseDockerRef(`alpine:3.20@${DIGEST}`))).toBe(DIGEST);
    expect(referenceOf(parseDockerRef('alpine:3.20'))).toBe('3.20');
  });

  it.each([
    ['', 'not the name of a repository'],
    ['Alpine', 'no capital letters'],
    ['docker.io/Alpine', 'no capital letters'],
    [HEX, 'would be taken for an id'],
    ['app:', 'not a tag'],
    ['app:-x', 'not a tag'],
    [`app:${'x'.repeat(129)}`, 'not a tag'],
    ['app@sha256:abc', 'not a digest'],
    [`app@SHA256:${HEX}`, 'not a digest'],
    [`app@sha256:${HEX.toUpperCase()}`, 'not a digest'],
    [`app@md5:${'a'.repeat(32)}`, 'not a digest'],
    ['app@', 'not a digest'],
    ['example.com/', 'not the name of a repository'],
    ['example.com//app', 'not the name of a repository'],
    ['/app', 'not the name of a repository'],
    ['app/', 'not the name of a repository'],
    ['-app', 'not the name of a repository'],
    ['app-', 'not the name of a repository'],
    ['a___b', 'not the name of a repository'],
    ['a._b', 'not the name of a repository'],
    ['a..b', 'not the name of a repository'],
    ['../app', 'not the address of a registry'],
    ['example.com:0/app', 'not the address of a registry'],
    ['example.com:99999/app', 'not the address of a registry'],
    ['example.com:x/app', 'not the address of a registry'],
    ['-example.com/app', 'not the address of a registry'],
    ['[::g]:5000/app', 'not the address of a registry'],
    ['[1:2]/app', 'not the address of a registry'],
    ['user:pw@example.com/app', 'not a digest'],
    ['app name', 'not the name of a repository'],
    ['app\n', 'not the name of a repository'],
    ['app?x=1', 'not the name of a repository'],
    ['example.com/app#x', 'not the name of a repository'],
    ['äpp', 'not the name of a repository'],
    ['https://example.com/app', 'not the address of a registry'],
    [`example.com/${'a'.repeat(250)}`, 'longer than 255'],
  ])('refuses %j: %s', (text, why) => {
    expect(() => parseDockerRef(text)).toThrow(UsageError);
    expect(() => parseDockerRef(text)).toThrow(why);
  });

  it('tells how a reference is written', () => {
    expect.assertions(2);
    try {
      parseDockerRef('Team/App');
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      expect((error as UsageError).remedies.join()).not.toBe('');
    }
  });
});

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
const alphanumeric = fc.string({
  unit: fc.constantFrom(...Array.from(letters)),
  minLength: 1,
  maxLength: 6,
});
const component = fc
  .tuple(
    alphanumeric,
    fc.array(fc.tuple(fc.constantFrom('.', '_', '__', '-', '--', '---'), alphanumeric), {
      maxLength: 3,
    }),
  )
  .map(([first, rest]) => first + rest.map(([separator, text]) => separator + text).join(''));
const hostLabel = fc
  .tuple(alphanumeric, fc.constantFrom('', '-', '--'), alphanumeric)
  .map((parts) => parts.join(''));
const registry = fc.oneof(
  fc.constantFrom('docker.io', 'localhost', 'localhost:5000', '[::1]:5000', '[2001:db8::1]'),
  fc
    .tuple(hostLabel, hostLabel, fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }))
    .map(([a, b, port]) => `${a}.${b}${port === undefined ? '' : `:${String(port)}`}`),
);
const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));

/** The way back of toAppcName, for hosts with a name: if there is one, no two names become the same. */
function repositoryOfAppcName(name: string): string {
  const unescape = (text: string) =>
    text.replace(
      /~(?:([uh])([0-9]+)~)?/g,
      (_whole, kind: string | undefined, length: string | undefined) =>
        kind === undefined ? '_' : (kind === 'u' ? '_' : '-').repeat(Number(length)),
    );
  const [host = '', ...rest] = name.split('/');
  // A host has no "_": what is left of "~" there is the port's.
  const dashes = host.replace(/~h([0-9]+)~/g, (_whole, length) => '-'.repeat(Number(length)));
  const [, bare = '', port] = /^(.*?)(?:~([0-9]+))?$/.exec(dashes) ?? [];
  return `${bare}${port === undefined ? '' : `:${port}`}/${unescape(rest.join('/'))}`;
}

describe('what references keep', () => {
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(
        registry,
        path,
        fc.option(fc.stringMatching(/^\w[\w.-]{0,20}$/), { nil: undefined }),
        fc.option(fc.constant(DIGEST), { nil: undefined }),
        (host, name, tag, digest) => {
          const text = `${host}/${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
          const ref = parseDockerRef(text);
          expect(parseDockerRef(renderDockerRef(ref))).toEqual(ref);
          expect(ref.digest).toBe(digest);
          expect(ref.tag).toBe(tag ?? (digest === undefined ? 'latest' : undefined));
        },
      ),
    );
  });

  it('is an appc name by the letter of its specification, from which the repository can be told', () => {
    fc.assert(
      fc.property(registry, path, (host, name) => {
        const ref = parseDockerRef(`${host}/${name}`);
        const appc = toAppcName(ref);
        expect(isStrictIdentifier(appc)).toBe(true);
        if (!host.startsWith('[')) {
          expect(repositoryOfAppcName(appc)).toBe(`${ref.registry}/${ref.repository}`);
        }
      }),
    );
  });

  it('throws nothing but its own error, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseDockerRef(text);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

describe('toAppcName', () => {
  it.each([
    ['alpine', 'docker.io/library/alpine'],
    ['localhost:5000/my_app', 'localhost~5000/my~app'],
    ['example.com/a__b/c--d', 'example.com/a~u2~b/c~h2~d'],
    ['example.com/a_u2', 'example.com/a~u1~u2'],
    ['Example.COM/app', 'example.com/app'],
    ['xn--bcher-kva.example/app', 'xn~h2~bcher-kva.example/app'],
    ['[::1]:5000/app', '0-0-0-0-0-0-0-1~ip6~5000/app'],
    ['[2001:DB8::]/app', '2001-db8-0-0-0-0-0-0~ip6/app'],
  ])('makes of %s the name %s', (text, name) => {
    expect(toAppcName(parseDockerRef(text))).toBe(name);
  });
});
