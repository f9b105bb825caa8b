/**
 * The parts of undici that we use, put together as its index.js does. The whole of it, with fetch, web sockets and caches that
 * nobody here needs, costs a start of ours a quarter of a second and 15 MB more (measured). Its version is pinned.
 */
import connect from 'undici/lib/api/api-connect.js';
import request from 'undici/lib/api/api-request.js';
import Agent from 'undici/lib/dispatcher/agent.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';

Object.assign(Dispatcher.prototype, { connect, request });

export { Agent, Dispatcher, ProxyAgent };
