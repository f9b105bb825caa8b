/** Whether two names are of the same image, however much of them was left out. */
import { JetpackError } from '../errors.ts';
import { parseDockerRef, renderDockerRef } from './docker-ref.ts';

/** `alpine:3.20` and `docker.io/library/alpine:3.20` are; a bare tag is only the same as itself. */
export function isSameName(one: string, other: string): boolean {
  if (one === other) return true;
  const whole = wholeName(one);
  return whole !== undefined && whole === wholeName(other);
}

/** Undefined for what names no image of a registry. */
export function wholeName(name: string): string | undefined {
  try {
    return renderDockerRef(parseDockerRef(name));
  } catch (error) {
    if (error instanceof JetpackError) return undefined;
    throw error;
  }
}
