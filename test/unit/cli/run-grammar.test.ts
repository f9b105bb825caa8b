import { describe, expect, it } from 'vitest';

import { parseRunWords } from '../../../src/cli/run-grammar.ts';
import { UsageError } from '../../../src/errors.ts';

const parse = (line: string) => parseRunWords(line.split(' ').filter((word) => word !== ''));

describe('the grammar of run', () => {
  it('takes flags of the pod before the image and arguments after --', () => {
    const words = parse('--rm --net=none busybox -- echo --rm');
    expect(words.pod.one.get('rm')).toBe('true');
    expect(words.pod.one.get('net')).toBe('none');
    expect(words.apps).toHaveLength(1);
    expect(words.apps[0]).toMatchObject({ image: 'busybox', args: ['echo', '--rm'] });
  });

  it('ends the arguments of one image with --- before the next', () => {
    const words = parse('a --user=www -- x y --- b --name other -- z');
    expect(words.apps.map(({ image, args }) => [image, args])).toEqual([
      ['a', ['x', 'y']],
      ['b', ['z']],
    ]);
    expect(words.apps[0]?.flags.one.get('user')).toBe('www');
    expect(words.apps[1]?.flags.one.get('name')).toBe('other');
  });

  it('reads --name as the name of the pod before the first image and of the app after it', () => {
    const words = parse('--name=pod a --name=app');
    expect(words.pod.one.get('name')).toBe('pod');
    expect(words.apps[0]?.flags.one.get('name')).toBe('app');
  });

  it('keeps flags of apps before the first image as defaults', () => {
    const words = parse('--user 5 --mount volume=v,target=/x a b');
    expect(words.defaults.one.get('user')).toBe('5');
    expect(words.defaults.many.get('mount')).toEqual(['volume=v,target=/x']);
  });

  it('splits bundled short flags, the last with its value', () => {
    const words = parse('-dit -oroot.zfs=a/b a');
    expect([...words.pod.one.keys()].sort()).toEqual(['detach', 'interactive', 'tty']);
    expect(words.pod.many.get('option')).toEqual(['root.zfs=a/b']);
  });

  it('keeps an explicitly empty list of arguments apart from none', () => {
    expect(parse('a --').apps[0]?.args).toEqual([]);
    expect(parse('a').apps[0]?.args).toBeUndefined();
  });

  it.each([
    ['--nosuch a', 'there is no flag --nosuch'],
    ['--rm=yes a', '--rm takes no value'],
    ['a --user', '--user needs a value'],
    ['-- x', 'belong to an image'],
    ['a -- x --- --- b', '--- ends'],
    ['a -- x --- -- y', 'has arguments already'],
    ['--readonly-rootfs=maybe a', 'is true or false'],
  ])('refuses "%s"', (line, message) => {
    expect(() => parse(line)).toThrow(UsageError);
    expect(() => parse(line)).toThrow(message);
  });

  it('suggests the flag that was meant', () => {
    expect.assertions(1);
    try {
      parse('--hostnam x a');
    } catch (error) {
      expect((error as UsageError).remedies).toContain('--hostname');
    }
  });
});
