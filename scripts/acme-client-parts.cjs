// What dist/ takes of acme-client: the client and what makes keys and requests. The package's own entry
// also loads its older cryptography, node-forge: a third of all that it brings.
'use strict';
const axios = require('acme-client/src/axios');
const Client = require('acme-client/src/client');
const crypto = require('acme-client/src/crypto');

module.exports = { Client, axios, crypto };
