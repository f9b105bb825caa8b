/** `--restart` and `--stop-signal`: flags that become annotations of an app (app-annotations.ts). Pure. */
import { UsageError } from '../errors.ts';
import { findRestart, findSignal, RESTART, STOP_SIGNAL } from '../pod/app-annotations.ts';
import type { Annotation } from '../schema/appc.ts';

/** Checked here too, where the flag can be named. */
export function policyAnnotations(
  restart: string | undefined,
  stopSignal: string | undefined,
): readonly Annotation[] {
  if (restart !== undefined && findRestart(restart) === undefined) {
    throw new UsageError(`--restart: there is no policy "${restart}"`, {
      remedies: ['no, on-failure, on-failure:5 or always'],
    });
  }
  if (stopSignal !== undefined && findSignal(stopSignal) === undefined) {
    throw new UsageError(`--stop-signal: there is no signal "${stopSignal}"`, {
      remedies: ['a name like TERM or QUIT, or a number from 1 to 64'],
    });
  }
  return [
    ...(restart === undefined ? [] : [{ name: RESTART, value: restart }]),
    ...(stopSignal === undefined ? [] : [{ name: STOP_SIGNAL, value: stopSignal }]),
  ] as unknown as readonly Annotation[];
}
