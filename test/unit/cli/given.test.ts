import { describe, expect, it } from 'vitest';

import { checkGiven, handOn, parseGiven } from '../../../src/cli/given.ts';
import type { Exec } from '../../../src/exec/exec.ts';
import type { Plan } from '../../../src/pod/plan.ts';

describe('what a service manager gives', () => {
  it.each([
    ['nothing', {}, 0],
    ['sockets for us', { LISTEN_PID: '7', LISTEN_FDS: '2' }, 2],
    ['sockets for another process', { LISTEN_PID: '8', LISTEN_FDS: '2' }, 0],
    ['sockets for nobody', { LISTEN_FDS: '2' }, 0],
    ['no number of them', { LISTEN_PID: '7', LISTEN_FDS: 'two' }, 0],
    ['less than none', { LISTEN_PID: '7', LISTEN_FDS: '-1' }, 0],
    ['more than can be passed', { LISTEN_PID: '7', LISTEN_FDS: '1000' }, 64],
  ])('%s', (_, env, sockets) => {
    expect(parseGiven(env, 7)).toEqual({ sockets, notifySocket: undefined });
  });

  const held: (readonly [readonly string[], number])[] = [];
  const exec = {
    hold: (argv: readonly string[], count: number) => {
      held.push([argv, count]);
      return 99;
    },
  } as unknown as Exec;

  it('goes on to the shim, sockets through a child that holds them', () => {
    const given = parseGiven({ LISTEN_PID: '7', LISTEN_FDS: '2', NOTIFY_SOCKET: '/run/n' }, 7);
    expect(handOn(given, 7, '/shim', exec)).toEqual({
      NOTIFY_SOCKET: '/run/n',
      LISTEN_FDS: '2',
      LISTEN_PID: '7',
      JETPACK_LISTEN_HOLDER: '99',
    });
    expect(held).toEqual([[['/shim', 'hold'], 2]]);
  });

  it('costs no child when there is no socket', () => {
    expect(handOn({ sockets: 0, notifySocket: undefined }, 7, '/shim', exec)).toEqual({});
    expect(held).toHaveLength(1);
  });

  it('must have sockets where an app expects one', () => {
    const plan = {
      apps: [
        { name: 'a', listen: [] },
        { name: 'web', listen: [{ name: 'http', protocol: 'tcp', port: 80 }] },
      ],
    } as unknown as Plan;
    const none = { sockets: 0, notifySocket: undefined };
    expect(() => checkGiven(plan, none)).toThrow(
      'app web expects a listening socket for its port "http" (tcp 80), and none was passed',
    );
    expect(() => checkGiven(plan, { ...none, sockets: 1 })).not.toThrow();
  });
});
