import { describe, expect, it } from 'vitest';

import { inheritedEnvironment, parseEnvironmentFile } from '../../../src/cli/environment-flags.ts';

describe('an environment file', () => {
  it('has NAME=VALUE lines and comments, and nothing in it is evaluated', () => {
    const text = '# one\n; two\n\nA=1\r\n  B=" $A "\nC=\nD=a=b # c\n';
    expect(parseEnvironmentFile(text, 'f')).toEqual([
      { name: 'A', value: '1' },
      { name: 'B', value: '" $A "' },
      { name: 'C', value: '' },
      { name: 'D', value: 'a=b # c' },
    ]);
  });

  it.each(['nothing', '=x', '1A=x', 'A b=c', 'A\u0000=x', 'A=\u0000'])('refuses %j', (line) => {
    expect(() => parseEnvironmentFile(`A=1\n${line}\n`, 'f.env')).toThrow(
      'f.env:2: not NAME=VALUE',
    );
  });
});

describe('the inherited environment', () => {
  it('leaves out what is between us and those who started us, and names that appc does not have', () => {
    const own = {
      LANG: 'C',
      LISTEN_FDS: '1',
      LISTEN_PID: '2',
      NOTIFY_SOCKET: '/x',
      WATCHDOG_USEC: '1',
      JETPACK_CONF: '/x',
      NODE_OPTIONS: '--x',
      'BASH_FUNC_x%%': '() {}',
      EMPTY: '',
      ABSENT: undefined,
    };
    expect(inheritedEnvironment(own)).toEqual([
      { name: 'LANG', value: 'C' },
      { name: 'EMPTY', value: '' },
    ]);
  });
});
