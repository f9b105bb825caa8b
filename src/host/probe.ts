/** Whether a service of this host listens. */
import { connect } from 'node:net';

/** Loopback answers at once; a service that is so busy that it does not, does not answer. */
const PATIENCE_MS = 250;

/** Begins to ask when it is called, so that other work can go on meanwhile. Never rejects. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const timer = setTimeout(() => answer(false), PATIENCE_MS);
    const answer = (listening: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}
