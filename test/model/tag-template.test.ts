import { describe, expect, it } from 'vitest';
import { parseTagTemplate } from '../../src/model/tag-template.ts';

const inspection = {
  Id: 'e20f9c1a76565d62',
  Name: '/web',
  Config: {
    Env: ['ENVIRONMENT=test', 'SERVICE_8105_NAME=foo', 'HOME=/home/x', 'SERVICE_9404_NAME=bar'],
    Labels: { 'com.amazonaws.ecs.task-arn': 'arn:aws:ecs:region:acc:task/368f' },
    Hostname: 'e20f9c1a7656',
  },
};

describe('a template of tags', () => {
  it.each([
    ['plain,tags', 'plain,tags'],
    ['host-{{.Config.Hostname}},b', 'host-e20f9c1a7656,b'],
    ['{{ .ID }}', 'e20f9c1a76565d62'],
    ['{{strSlice .ID 0 12}}', 'e20f9c1a7656'],
    ['{{ sIndex 0 .Config.Env }}', 'ENVIRONMENT=test'],
    ['{{ sIndex -1 .Config.Env }}', 'SERVICE_9404_NAME=bar'],
    ['{{ sIndex 99 .Config.Env }}', 'SERVICE_9404_NAME=bar'],
    [
      '{{ mIndex "com.amazonaws.ecs.task-arn" .Config.Labels }}',
      'arn:aws:ecs:region:acc:task/368f',
    ],
    ['{{ mIndex "none" .Config.Labels }}', ''],
    ['{{ toUpper "foo" }}-{{ toLower `BAR` }}', 'FOO-bar'],
    ['{{ replace -1 "=" "" "=foo=" }}{{ replace 1 "=" "" "=foo=" }}', 'foofoo='],
    [
      '{{ join "," (matchAllElements "^SERVICE_" .Config.Env) }}',
      'SERVICE_8105_NAME=foo,SERVICE_9404_NAME=bar',
    ],
    ['{{ matchFirstElement "^SERVICE_" .Config.Env | toLower }}', 'service_8105_name=foo'],
    ['{{ splitIndex -1 "/" "a/b/c" }}', 'c'],
    ['{{ sIndex 0 .Config.Env | split "=" | sIndex 1 }}', 'test'],
    ['{{ jsonParse "{\\"a\\":{\\"b\\":1}}" "a::b" }}', '1'],
    ['{{ .Config.None.Deeper }}', ''],
    ['{{- .Name -}}', '/web'],
  ])('%s is %s', (template, text) => expect(parseTagTemplate(template)(inspection)).toBe(text));

  it.each([
    '{{ if .ID }}x{{ end }}',
    '{{ httpGet "http://x" }}',
    '{{ }}',
    '{{ .ID | }}',
    '{{ toUpper (.ID }}',
    '{{ .ID .Name }}',
    '{{ $x }}',
    '{{ constructor .ID }}',
  ])('%s is none, and what is known is said', (template) => {
    expect(() => parseTagTemplate(template)).toThrow(/-tags: .* is not known.*expected/s);
  });
});
