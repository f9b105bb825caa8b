import { describe, expect, it } from 'vitest';

import { parseAppAddWords } from '../../../src/cli/app-add.ts';

const parse = (line: string) => parseAppAddWords(line.split(' '));

describe('the words of app add', () => {
  it('are a pod, an image, and what belongs to the app', () => {
    const { pod, words } = parse(
      '--json --volume=v,kind=empty box image --name=web --restart=no -- a b',
    );
    expect(pod).toBe('box');
    expect(words.apps).toHaveLength(1);
    expect(words.apps[0]).toMatchObject({ image: 'image', args: ['a', 'b'] });
    expect(words.apps[0]?.flags.one.get('name')).toBe('web');
    expect(words.pod.many.get('volume')).toEqual(['v,kind=empty']);
  });

  it.each([
    ['box', 'no image was named'],
    ['--json', 'no pod was named'],
    ['box one two', 'one pod and one image'],
    ['box -- arg --- image', 'one pod and one image'],
    ['box --user=0 image', '--user stands before the image'],
    ['--name=x box image', '--name stands before the image'],
    ['--net=host box image', '--net is of the pod'],
    ['-d box image', '--detach is of the pod'],
  ])('refuses "%s"', (line, message) => {
    expect(() => parse(line)).toThrow(message);
  });
});
