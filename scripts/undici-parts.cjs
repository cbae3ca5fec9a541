// What dist/ takes of undici: the agent, its connector, and the one call that the program makes. The
// package's own entry also loads fetch, WebSocket, caches and mocks: 4 MiB in every process.
'use strict';
const request = require('undici/lib/api/api-request');
const buildConnector = require('undici/lib/core/connect');
const Agent = require('undici/lib/dispatcher/agent');
const Dispatcher = require('undici/lib/dispatcher/dispatcher');

Dispatcher.prototype.request = request;
module.exports = { Agent, buildConnector };
