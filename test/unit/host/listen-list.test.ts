import { describe, expect, it } from 'vitest';

import { defaultSettings, mergeConfig, parseConfigOptions } from '../../../src/host/config.ts';
import { refuseListenList } from '../../../src/host/listen-list.ts';

const defaults = defaultSettings({ platform: 'linux', packageDir: '/opt/jetpack' });
const merge = (setting: string) => mergeConfig(defaults, parseConfigOptions([setting])).config;

describe('what the metadata service may listen on', () => {
  it('is addresses and interfaces beside the loopback address that pods use', () => {
    expect(
      merge('mds.listen=127.0.0.1, ::1,br-pods,10.0.0.1,eth0.5,fd00::1')['mds.listen'],
    ).toEqual(['127.0.0.1', '::1', 'br-pods', '10.0.0.1', 'eth0.5', 'fd00::1']);
  });

  it.each([
    '0.0.0.0',
    '::',
    '0',
    '0.0',
    '00.0.0.0',
    '0:0:0:0:0:0:0:0',
    '::0',
    '::ffff:0.0.0.0',
    '0:0:0:0:0:ffff:0:0',
    '::FFFF:0:0',
  ])('is never everything: %s', (address) => {
    expect(refuseListenList(['127.0.0.1', address])).toMatch(/would answer on every network/);
  });

  it.each([
    ['127.0.0.1,', '"" is neither'],
    ['127.0.0.1,a b', '"a b" is neither'],
    ['127.0.0.1,interface-with-a-long-name', 'is neither'],
    ['127.0.0.1,../x', 'is neither'],
    ['::1', '127.0.0.1 must be among them'],
    ['127.0.0.1,::1,127.0.0.1', 'stands there twice'],
  ])('is refused with a reason: %s', (list, why) => {
    expect(() => merge(`mds.listen=${list}`)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(why) }),
    );
  });

  it('goes with a port, a user who is not root, and yes or no', () => {
    for (const wrong of [
      'mds.port=0',
      'mds.port=65536',
      'mds.port=x',
      'mds.user=root',
      'mds.user=a b',
      'mds.warn=1',
    ])
      expect(() => merge(wrong)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    expect(merge('mds.warn=no')['mds.warn']).toBe(false);
  });
});
