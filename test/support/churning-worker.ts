// A worker thread that makes much that lives for a while, as connections do that come and go, and tells how
// much room V8 takes for what is young.
import { getHeapSpaceStatistics } from 'node:v8';
import { parentPort } from 'node:worker_threads';

const KEPT = 60_000;
const MADE = 1_200_000;
const kept: object[] = [];
let most = 0;
for (let i = 0; i < MADE; i += 1) {
  kept[i % KEPT] = { i, text: `connection ${i}`, list: [i, i, i, i] };
  if (i % 20_000 !== 0) continue;
  const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
  most = Math.max(most, young?.space_size ?? 0);
}
parentPort!.postMessage(most);
