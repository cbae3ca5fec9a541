// The dashboard in a real browser, over the real program.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const executablePath = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
/** A folder for pictures of the page, to be looked at; '' for none. */
const SHOTS = process.env.DASHBOARD_SHOTS ?? '';
const ARGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

const ENDPOINTS = '#services tr.endpoint';

describe.skipIf(!existsSync(executablePath))('the dashboard', () => {
  let browser: Browser;
  let page: Page;
  let upriver: UpriverProcess;
  const errors: string[] = [];

  beforeAll(async () => {
    const [web, db, a, b] = (await freePorts(4)) as [number, number, number, number];
    upriver = await startUpriver({
      args: [
        ...['--static', `web=127.0.0.1:${a},127.0.0.1:${b}`, '--service', `web=127.0.0.1:${web}`],
        ...['--static', `db=127.0.0.1:${a}`, '--service', `db=127.0.0.1:${db},protocol=tcp`],
      ],
    });
    browser = await chromium.launch({ executablePath, args: ARGS });
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (line) => {
      if (line.type() === 'error') errors.push(line.text());
    });
    await page.goto(`${upriver.statsUrl}/stats`);
  });
  afterAll(async () => {
    await browser?.close();
    await upriver?.stop();
  });

  const text = () => page.locator('#services').innerText();

  it('shows every service and endpoint', async () => {
    await expect.poll(text).toMatch(/\bweb\b/);
    expect(await text()).toMatch(/\bdb\b/);
    expect(await page.locator(ENDPOINTS).count()).toBe(3);
  });

  it('shows a change as it happens, without being loaded again', async () => {
    const services = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
    const { endpoints } = (await services.json()) as { endpoints: { id: string }[] };
    const id = encodeURIComponent(endpoints[0]!.id);
    const path = `/api/v1/services/web/endpoints/${id}`;
    const inMaintenance = () => page.locator(`${ENDPOINTS}[data-state=maint]`).count();
    expect(await inMaintenance()).toBe(0);
    await fetch(`${upriver.statsUrl}${path}/maint`, { method: 'POST' });
    await expect.poll(inMaintenance).toBe(1);
    await fetch(`${upriver.statsUrl}${path}/ready`, { method: 'POST' });
    await expect.poll(inMaintenance).toBe(0);
  });

  it('leaves what the filter finds', async () => {
    const rows = page.locator(`${ENDPOINTS}:visible`);
    await page.locator('#filter').fill('db');
    await expect.poll(() => rows.count()).toBe(1);
    await page.locator('#filter').fill('');
    await expect.poll(() => rows.count()).toBe(3);
  });

  it('sorts a table by the column that is asked for, one way and the other', async () => {
    const table = page.locator('[data-service=web]');
    const ids = () => table.locator('tr.endpoint th').allInnerTexts();
    const head = table.locator('th[data-key=endpoint]');
    const sorted = (await ids()).toSorted();
    await head.getByRole('button').click();
    await expect.poll(ids).toEqual(sorted);
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    await head.getByRole('button').click();
    await expect.poll(ids).toEqual(sorted.toReversed());
    expect(await head.getAttribute('aria-sort')).toBe('descending');
  });

  it('leaves what is in trouble, and keeps that in the address', async () => {
    await page.locator('#trouble').check();
    await expect.poll(() => page.locator(`${ENDPOINTS}:visible`).count()).toBe(0);
    expect(await page.locator('#none').isVisible()).toBe(true);
    expect(new URL(page.url()).searchParams.has('trouble')).toBe(true);
    await page.locator('#trouble').uncheck();
    await expect.poll(() => page.locator(`${ENDPOINTS}:visible`).count()).toBe(3);
  });

  it('drains by a button that asks first, and puts back', async () => {
    page.on('dialog', (dialog) => void dialog.accept());
    const row = page.locator('[data-service=db] tr.endpoint');
    const state = () => row.getAttribute('data-state');
    await row.getByRole('button', { name: /^drain / }).click();
    await expect.poll(state).toBe('drain');
    await expect.poll(() => page.locator('#changes').innerText()).toContain('up → drain');
    await expect.poll(() => page.locator('#news').innerText()).toMatch(/^db .*: drain$/);
    await row.getByRole('button', { name: /^ready / }).click();
    await expect.poll(state).toBe('up');
  });

  it('shows the same without scripts, and no buttons that would do nothing', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const plain = await context.newPage();
    await plain.goto(`${upriver.statsUrl}/stats`);
    expect(await plain.locator(ENDPOINTS).count()).toBe(3);
    expect(await plain.locator('#filter').isVisible()).toBe(false);
    expect(await plain.locator('.act button').first().isVisible()).toBe(false);
    await context.close();
  });

  it('fits a narrow screen, in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 390, height: 800 });
      const isWider = () =>
        page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
      await expect.poll(isWider).toBe(false);
      if (SHOTS !== '') await page.screenshot({ path: `${SHOTS}/narrow-${colorScheme}.png` });
      await page.setViewportSize({ width: 1280, height: 800 });
      if (SHOTS !== '') await page.screenshot({ path: `${SHOTS}/wide-${colorScheme}.png` });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  it('complains of nothing', () => {
    expect(errors).toEqual([]);
  });
});
