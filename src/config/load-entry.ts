// The entry of the thread in which a large configuration is read: one question, one answer, so that
// the main thread, and with it the stats port, does not stand still meanwhile.
import { parentPort, workerData } from 'node:worker_threads';
import { type LoadInput, loadSettings } from './load.ts';

// Made by loadInThread.
parentPort?.postMessage(loadSettings(workerData as LoadInput));
