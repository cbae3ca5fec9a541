// The entry of the thread in which YAML of others is read: one text, one answer. Some texts of a few hundred
// kilobytes take the parser half a minute.
import { parentPort, workerData } from 'node:worker_threads';
import { readYaml } from './yaml-text.ts';

// Made by yamlInThread.
parentPort?.postMessage(readYaml(workerData as string));
