/* The expected outputs were made by Go's own text/template over the same document; the few that differ on purpose are
 * marked. */
#include "cli/template.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char document_text[] =
        "{\"Id\":\"4f1bb2\",\"Name\":\"web\",\"Created\":\"2026-01-02T03:04:05Z\",\"Pid\":4242,\"Big\":922337203685"
        "4775807,\"Huge\":18446744073709551615,\"Neg\":-5,\"Zero\":0,\"Float\":0.5,\"Large\":1e21,\"Mid\":12345"
        "6789.5,\"Tiny\":0.00001,\"One\":1.0,\"Running\":true,\"Paused\":false,\"Null\":null,\"Empty\":\"\",\"Args"
        "\":[\"sh\",\"-c\",\"exit 7\"],\"Nums\":[3,1,2],\"Mixed\":[\"a\",1,true,null,0.25,[\"x\"],{\"k\":\"v\"}],\"None"
        "\":[],\"State\":{\"Status\":\"running\",\"ExitCode\":0,\"Health\":{\"Status\":\"healthy\",\"Log\":[{\"Start\""
        ":\"a\",\"ExitCode\":1},{\"Start\":\"b\",\"ExitCode\":0}]}},\"Labels\":{\"app\":\"shop\",\"org.x/"
        "y\":\"z\",\"b\":"
        "\"\"},\"EmptyMap\":{},\"Uni\":\"h\303\251llo "
        "w\303\266rld\",\"Quote\":\"a\\\"b\\\\c\\n\\t\\u0001\303\251\",\"Long\":\"abcdefghijklmno"
        "pqrstuvwxyz\",\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\",\"RW\":true},{\"Type\":\"volume\",\"Source\":\""
        "/b\",\"RW\":false}],\"Slash\":\"a/b/c.d\"}";

static const struct {
	const char *text;
	const char *expected;
} outputs[] = {
	/* clang-format off */
	{ "plain text",
	  "plain text" },
	{ "{{.Id}}",
	  "4f1bb2" },
	{ "{{.Name}} {{.Pid}}",
	  "web 4242" },
	{ "{{.State.Status}}",
	  "running" },
	{ "{{.State.Health.Log}}",
	  "[map[ExitCode:1 Start:a] map[ExitCode:0 Start:b]]" },
	{ "{{.State}}",
	  "map[ExitCode:0 Health:map[Log:[map[ExitCode:1 Start:a] map[ExitCode:0 Start:b]] Status:healthy] Status:running]" },
	{ "{{json .State}}",
	  "{\"Status\":\"running\",\"ExitCode\":0,\"Health\":{\"Status\":\"healthy\",\"Log\":[{\"Start\":\"a\",\"ExitCode\":1},{\"Start\":\"b\",\"ExitCode\":0}]}}" }, /* not as Go: keys in the document's order, or podman's map[string]string */
	{ "{{.Big}} {{.Huge}} {{.Neg}} {{.Zero}}",
	  "9223372036854775807 18446744073709551615 -5 0" },
	{ "{{.Float}} {{.Large}} {{.Mid}} {{.Tiny}} {{.One}}",
	  "0.5 1e+21 1.234567895e+08 1e-05 1" },
	{ "{{.Running}}/{{.Paused}}",
	  "true/false" },
	{ "{{.Null}}",
	  "<no value>" },
	{ "{{.Missing}}",
	  "<no value>" },
	{ "{{.Labels.nope}}",
	  "<no value>" },
	{ "{{.Labels.nope.deeper}}",
	  "<no value>" },
	{ "{{.Args}}",
	  "[sh -c exit 7]" },
	{ "{{.Mixed}}",
	  "[a 1 true <nil> 0.25 [x] map[k:v]]" },
	{ "{{.Labels}}",
	  "map[app:shop b: org.x/y:z]" },
	{ "{{.EmptyMap}}{{.None}}",
	  "map[][]" },
	{ "{{index .Labels \"org.x/y\"}}",
	  "z" },
	{ "{{index .Args 1}}",
	  "-c" },
	{ "{{index .Mounts 1 \"Source\"}}",
	  "/b" },
	{ "{{index .Name 0}}",
	  "119" },
	{ "{{index .Args}}",
	  "[sh -c exit 7]" },
	{ "{{len .Args}} {{len .Name}} {{len .Labels}} {{len .None}}",
	  "3 3 3 0" },
	{ "{{slice .Name 1}} {{slice .Name 1 2}} {{slice .Args 1}} {{slice .Name}}",
	  "eb e [-c exit 7] web" },
	{ "{{range .Args}}[{{.}}]{{end}}",
	  "[sh][-c][exit 7]" },
	{ "{{range .None}}x{{else}}none{{end}}",
	  "none" },
	{ "{{range .Null}}x{{else}}null{{end}}",
	  "null" },
	{ "{{range .Missing}}x{{else}}missing{{end}}",
	  "missing" },
	{ "{{range $i, $e := .Args}}{{$i}}={{$e}} {{end}}",
	  "0=sh 1=-c 2=exit 7 " },
	{ "{{range $e := .Args}}{{$e}},{{end}}",
	  "sh,-c,exit 7," },
	{ "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}",
	  "app=shop;b=;org.x/y=z;" },
	{ "{{range .Labels}}<{{.}}>{{end}}",
	  "<shop><><z>" },
	{ "{{range $i, $m := .Mounts}}{{if $i}}, {{end}}{{$m.Type}}:{{.Source}}{{end}}",
	  "bind:/a, volume:/b" },
	{ "{{range .Args}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}}{{end}}",
	  "sh" },
	{ "{{range .Args}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}} {{end}}",
	  "sh exit 7 " },
	{ "{{range $i, $e := .Args}}{{range $j, $f := $.Nums}}{{$i}}{{$j}} {{if $j}}{{break}}{{end}}{{end}}|{{end}}",
	  "00 01 |10 11 |20 21 |" },
	{ "{{if .Running}}up{{end}}",
	  "up" },
	{ "{{if .Paused}}paused{{else}}not{{end}}",
	  "not" },
	{ "{{if .Paused}}a{{else if .Running}}b{{else}}c{{end}}",
	  "b" },
	{ "{{if .Paused}}a{{else if .Zero}}b{{else if .Empty}}d{{else}}c{{end}}",
	  "c" },
	{ "{{if .Null}}x{{else}}y{{end}}{{if .EmptyMap}}x{{else}}y{{end}}{{if .None}}x{{else}}y{{end}}{{if .Neg}}x{{else}}y{{end}}",
	  "yyyx" },
	{ "{{if .Missing}}x{{else}}y{{end}}",
	  "y" },
	{ "{{if and .Running .Name}}both{{end}}",
	  "both" },
	{ "{{if or .Paused .Empty}}x{{else}}neither{{end}}",
	  "neither" },
	{ "{{if not .Paused}}n{{end}}",
	  "n" },
	{ "{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{and .Name}} {{or .Null 3}}",
	  "0 x web 3" },
	{ "{{or .Name .Name.Bad}}",
	  "web" },
	{ "{{not .Name}} {{not 0}}",
	  "false true" },
	{ "{{with .State}}{{.Status}}{{end}}",
	  "running" },
	{ "{{with .Null}}x{{else}}e{{end}}",
	  "e" },
	{ "{{with $s := .State}}{{$s.Status}} {{.ExitCode}}{{end}}",
	  "running 0" },
	{ "{{with .State.Health}}{{.Status}} {{$.Name}}{{end}}",
	  "healthy web" },
	{ "{{$x := .Name}}{{$x}}",
	  "web" },
	{ "{{$x := 1}}{{$x = 2}}{{$x}}",
	  "2" },
	{ "{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}",
	  "2" },
	{ "{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}",
	  "21" },
	{ "{{$n := 0}}{{range .Nums}}{{$n = .}}{{end}}{{$n}}",
	  "2" },
	{ "{{if $x := .Name}}{{$x}}{{end}}",
	  "web" },
	{ "{{$x := .State}}{{$x.Health.Status}}",
	  "healthy" },
	{ "{{$.Name}}",
	  "web" },
	{ "{{.Name | upper}}",
	  "WEB" },
	{ "{{.Name | printf \"%s-%s\" \"x\"}}",
	  "x-web" },
	{ "{{.Args | len}}",
	  "3" },
	{ "{{\"a\" | printf \"%s\" | upper | printf \"<%s>\"}}",
	  "<A>" },
	{ "{{printf \"%d\" .Pid}} {{printf \"%5d|%-5d|%05d|%+d|% d\" 42 42 42 42 42}}",
	  "4242    42|42   |00042|+42| 42" },
	{ "{{printf \"%x %X %#x %o %#o %b %O %c %q %U\" 255 255 255 8 8 5 8 65 65 65}}",
	  "ff FF 0xff 10 010 101 0o10 A 'A' U+0041" },
	{ "{{printf \"%x\" -255}} {{printf \"%08b\" -5}} {{printf \"%.5d\" 42}} {{printf \"%8.5d|\" 42}} {{printf \"%.0d|\" 0}}",
	  "-ff -0000101 00042    00042| |" },
	{ "{{printf \"%#08x|%#X|%#b\" 255 255 5}}",
	  "0x000000ff|0XFF|0b101" },
	{ "{{printf \"%s\" .Name}} {{printf \"%10s|%-10s|\" .Name .Name}} {{printf \"%.2s|%6.2s|\" .Name .Name}}",
	  "web        web|web       | we|    we|" },
	{ "{{printf \"%q\" .Quote}} {{printf \"%+q\" .Quote}} {{printf \"%#q\" .Name}} {{printf \"%x\" .Name}} {{printf \"% X\" .Name}} {{printf \"%#x\" .Name}} {{printf \"%# x\" .Name}}",
	  "\"a\\\"b\\\\c\\n\\t\\x01\303\251\" \"a\\\"b\\\\c\\n\\t\\x01\\u00e9\" `web` 776562 77 65 62 0x776562 0x77 0x65 0x62" },
	{ "{{printf \"%v %v %v %v\" .Name .Pid .Running .Null}}",
	  "web 4242 true <nil>" },
	{ "{{printf \"%t\" .Running}} {{printf \"%t\" .Name}} {{printf \"%6t|%-7t|\" true false}}",
	  "true %!t(string=web)   true|false  |" },
	{ "{{printf \"%5.2f|%-8.1f|%08.3f|%+.1f\" .Float .Mid .Float .Float}}",
	  " 0.50|123456789.5|0000.500|+0.5" },
	{ "{{printf \"%f %e %g %E %G %F\" .Float .Float .Float .Float .Float .Float}}",
	  "0.500000 5.000000e-01 0.5 5.000000E-01 0.5 0.500000" },
	{ "{{printf \"%g %g %g %g\" 1e20 1e21 1e-4 1e-5}} {{printf \"%v %v\" 1e20 1e6}}",
	  "1e+20 1e+21 0.0001 1e-05 1e+20 1e+06" },
	{ "{{printf \"%.3g %.10g %5g|\" .Mid .Mid .Float}}",
	  "1.23e+08 123456789.5   0.5|" },
	{ "{{printf \"%g\" 100000.0}} {{1e3}} {{1e21}} {{123456789.0}} {{1.0}} {{0.1}} {{3.14159}}",
	  "100000 1000 1e+21 1.23456789e+08 1 0.1 3.14159" },
	{ "{{printf \"%d\" .Name}}",
	  "%!d(string=web)" },
	{ "{{printf \"%s\" .Pid}}",
	  "%!s(int=4242)" },
	{ "{{printf \"%d\" .Float}} {{printf \"%f\" .Pid}}",
	  "%!d(float64=0.5) %!f(int=4242)" },
	{ "{{printf \"%s\" .Null}} {{printf \"%d\" .Null}}",
	  "%!s(<nil>) %!d(<nil>)" },
	{ "{{printf \"%v\" .Args}} {{printf \"%q\" .Args}} {{printf \"%s\" .Args}} {{printf \"%d\" .Nums}} {{printf \"%3d\" .Nums}} {{printf \"%x\" .Nums}}",
	  "[sh -c exit 7] [\"sh\" \"-c\" \"exit 7\"] [sh -c exit 7] [3 1 2] [  3   1   2] [3 1 2]" },
	{ "{{printf \"%s\" .Nums}}",
	  "[%!s(int=3) %!s(int=1) %!s(int=2)]" },
	{ "{{printf \"%v\" .Labels}} {{printf \"%q\" .Labels}}",
	  "map[app:shop b: org.x/y:z] map[\"app\":\"shop\" \"b\":\"\" \"org.x/y\":\"z\"]" },
	{ "{{printf \"%#v\" .Args}} {{printf \"%#v\" .Labels}} {{printf \"%#v\" .Name}} {{printf \"%#v\" .Pid}} {{printf \"%#v\" .Running}}",
	  "[]interface {}{\"sh\", \"-c\", \"exit 7\"} map[string]interface {}{\"app\":\"shop\", \"b\":\"\", \"org.x/y\":\"z\"} \"web\" 4242 true" },
	{ "{{printf \"%+v\" .State}}",
	  "map[ExitCode:0 Health:map[Log:[map[ExitCode:1 Start:a] map[ExitCode:0 Start:b]] Status:healthy] Status:running]" },
	{ "{{printf \"%d\"}}",
	  "%!d(MISSING)" },
	{ "{{printf \"%d %d\" 1}}",
	  "1 %!d(MISSING)" },
	{ "{{printf \"%d\" 1 2 \"x\"}}",
	  "1%!(EXTRA int=2, string=x)" },
	{ "{{printf \"%!\"}}",
	  "%!!(MISSING)" },
	{ "{{printf \"100%\"}}",
	  "100%!(NOVERB)" },
	{ "{{printf \"100%%\"}}",
	  "100%" },
	{ "{{printf \"%z\" 1}} {{printf \"%\303\251\" 1}}",
	  "%!z(int=1) %!\303\251(int=1)" },
	{ "{{printf \"%*d|%-*d|\" 5 42 5 42}} {{printf \"%.*f\" 2 3.14159}} {{printf \"%*d\" \"x\" 1}}",
	  "   42|42   | 3.14 %!(BADWIDTH)1" },
	{ "{{printf \"%T %T %T %T %T %T\" .Name .Pid .Running .Null .Args .Labels}}",
	  "string int bool <nil> []interface {} map[string]interface {}" },
	{ "{{printf \"%6.2f%%\" 12.345}}",
	  " 12.35%" },
	{ "{{printf \"%-10s|%10s|\" \"\303\251\" \"\346\227\245\346\234\254\"}}",
	  "\303\251         |        \346\227\245\346\234\254|" },
	{ "{{printf \"%05s|%-05d|\" \"ab\" 7}}",
	  "000ab|7    |" },
	{ "{{printf \"%c%c\" 233 26085}} {{printf \"%q\" 39}} {{printf \"%q\" 10}}",
	  "\303\251\346\227\245 '\\'' '\\n'" },
	{ "{{printf .Name}}",
	  "web" },
	{ "{{print}} {{print 1 2}} {{print \"a\" \"b\"}} {{print 1 \"a\" 2 3}} {{print .Null}} {{print nil}} {{print 1 nil}}",
	  " 1 2 ab 1a2 3 <nil> <nil> 1 <nil>" },
	{ "{{println}}{{println \"a\" 1}}{{println .Args}}",
	  "\na 1\n[sh -c exit 7]\n" },
	{ "{{print true false 1.5 \"x\"}}",
	  "true false 1.5x" },
	{ "{{json .Args}} {{json .Name}} {{json .Null}} {{json .Big}} {{json .Labels}} {{json .Quote}} {{json \"<&>\"}}",
	  "[\"sh\",\"-c\",\"exit 7\"] \"web\" null 9223372036854775807 {\"app\":\"shop\",\"org.x/y\":\"z\",\"b\":\"\"} \"a\\\"b\\\\c\\n\\t\\u0001\303\251\" \"<&>\"" }, /* not as Go: keys in the document's order, or podman's map[string]string */
	{ "{{json .Huge}} {{json .Float}} {{json \"a/b\"}}",
	  "18446744073709551615 0.5 \"a/b\"" },
	{ "{{join .Args \" \"}} {{join .None \",\"}} {{join .Nums \"-\"}}",
	  "sh -c exit 7  3-1-2" },
	{ "{{join (split \"a,b,c\" \",\") \"/\"}}",
	  "a/b/c" },
	{ "{{split \"a,b,,c\" \",\"}} {{split \"\" \",\"}} {{split \"abc\" \"\"}} {{len (split \"a\" \"xyz\")}} {{index (split .Slash \"/\") 1}}",
	  "[a b  c] [] [a b c] 1 b" },
	{ "{{html .Name}} {{html \"a<b> & \\\"c\\\" 'd\"}}", "web a&lt;b&gt; &amp; &#34;c&#34; &#39;d" },
	{ "{{upper .Name}} {{lower \"ABC\"}} {{title \"hello big-world it's x_y\"}}",
	  "WEB abc Hello Big-World It'S X_y" },
	{ "{{truncate .Long 5}} {{truncate .Name 10}} {{pad .Name 2 3}}| {{pad \"\" 2 2}}|",
	  "abcde web   web   | |" },
	{ "{{eq .Name \"web\"}} {{eq .Pid 4242}} {{eq .Running true}} {{eq 1 2 3 1}} {{eq .Float 0.5}}",
	  "true true true true true" },
	{ "{{ne .Name \"x\"}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 3 2}} {{lt \"a\" \"b\"}} {{lt 1.5 2.5}}",
	  "true true true false true true true" },
	{ "{{eq .Neg .Huge}} {{lt .Neg .Huge}} {{gt .Huge .Big}}",
	  "false true true" },
	{ "{{if eq .State.Status \"running\"}}R{{end}}",
	  "R" },
	{ "{{if and (eq .Name \"web\") (gt .Pid 1)}}yes{{end}}",
	  "yes" },
	{ "{{if (eq 1 1)}}y{{end}}",
	  "y" },
	{ "{{(index .Mounts 0).Type}} {{(.State).Status}} {{(.State.Health).Status}}",
	  "bind running healthy" },
	{ "{{(index .Mounts 0).Bad}}",
	  "<no value>" },
	{ "{{\"quoted \\\"x\\\" \\t\\n\\x41\\u00e9\\101\\\\\"}} {{`raw \\n \"x\"`}} {{'a'}} {{'\\n'}} {{'\303\251'}}",
	  "quoted \"x\" \t\nA\303\251A\\ raw \\n \"x\" 97 10 233" },
	{ "{{0x1F}} {{0b101}} {{0o17}} {{017}} {{1_000}} {{-7}} {{+7}} {{1e2}} {{.5}} {{0x_ff}}",
	  "31 5 15 15 1000 -7 7 100 0.5 255" },
	{ "{{true}} {{false}}",
	  "true false" },
	{ "{{print nil | len}}",
	  "5" },
	{ "a {{- .Name -}} b",
	  "awebb" },
	{ "a {{- .Name }} b",
	  "aweb b" },
	{ "a {{.Name -}} b",
	  "a webb" },
	{ "a  {{- /* c */ -}}  b",
	  "ab" },
	{ "a{{/* comment */}}b{{/* multi\nline */}}c",
	  "abc" },
	{ "a{{- 3}} b",
	  "a3 b" },
	{ "a{{-3}} b",
	  "a-3 b" },
	{ "{{3 -}} b",
	  "3b" },
	{ "{{ .Name }}{{\t.Name\t}}",
	  "webweb" },
	{ "{{\n.Name\n}}",
	  "web" },
	{ "{{range .Args -}}\n{{.}}\n{{end -}}\nend",
	  "sh\n-c\nexit 7\nend" },
	{ "{{ \"}}\" }} {{ `}}` }}",
	  "}} }}" },
	{ "{ {{.Name}} } }} {",
	  "{ web } }} {" },
	{ "{{$x :=1}}{{$x}}",
	  "1" },
	{ "{{- /* x */ -}}",
	  "" },
	{ "{{if .Running}}{{if .Paused}}a{{else}}b{{end}}{{else}}c{{end}}d",
	  "bd" },
	{ "{{range $i, $m := .Mounts}}{{range $k, $v := $m}}{{$i}}.{{$k}}={{$v}} {{end}}{{end}}",
	  "0.RW=true 0.Source=/a 0.Type=bind 1.RW=false 1.Source=/b 1.Type=volume " },
	{ "{{range .State.Health.Log}}{{.Start}}:{{.ExitCode}} {{end}}",
	  "a:1 b:0 " },
	{ "{{range $p, $c := .EmptyMap}}{{$p}}{{else}}no ports{{end}}",
	  "no ports" },
	{ "{{with .Labels}}{{with .app}}{{.}}{{end}}{{end}}",
	  "shop" },
	{ "{{printf \"%s has %d args\" .Name (len .Args)}}",
	  "web has 3 args" },
	{ "{{printf \"%v\" (index .Args 0) | printf \"%q\"}}",
	  "\"sh\"" },
	{ "{{len (print .Args)}}",
	  "14" },
	{ "{{range $i, $_ := .Args}}{{$i}}{{end}}",
	  "012" },
	{ "{{$a := 1}}{{$b := 2}}{{if eq $a $b}}same{{else}}differ{{end}}",
	  "differ" },
	{ "{{.State.Health.Log | json | len}}",
	  "55" },
	{ "{{if .Labels.app}}{{.Labels.app | upper | printf \"%-8s|\"}}{{end}}",
	  "SHOP    |" },
	{ "{{.Uni | printf \"%.4s|%12s|\"}}",
	  "h\303\251ll|%!s(MISSING)|" },
	{ "{{.Uni | printf \"%12s|\"}} {{.Uni | upper | len}}",
	  " h\303\251llo w\303\266rld| 13" },
	{ "{{index .Labels \"none\"}}",
	  "" }, /* not as Go: keys in the document's order, or podman's map[string]string */
	{ "{{range .Mixed}}{{.}};{{end}}",
	  "a;1;true;<no value>;0.25;[x];map[k:v];" },
	{ "{{range .Mixed}}{{print .}};{{end}}",
	  "a;1;true;<nil>;0.25;[x];map[k:v];" },
	{ "{{(printf \"%s\" .Name) | len}}",
	  "3" },
	{ "{{.Name|upper|lower}}",
	  "web" },
	{ "{{eq .Null nil}}",
	  "true" },
	{ "{{print .Missing}} {{printf \"%v\" .Missing}}",
	  "<nil> <nil>" },
	/* clang-format on */
};

static const struct {
	const char *text;
	const char *message;
} mistakes[] = {
	/* clang-format off */
	{ "{{.Null.Field}}",
	  "template: t:1:3: no field .Field: the value is null" },
	{ "{{.Name.Field}}",
	  "template: t:1:3: no field .Field in a value of type string" },
	{ "{{.Pid.Field}}",
	  "template: t:1:3: no field .Field in a value of type int" },
	{ "{{index .Args 9}}",
	  "template: t:1:3: index: index out of range: 9" },
	{ "{{index .Args -1}}",
	  "template: t:1:3: index: index out of range: -1" },
	{ "{{index .Pid 0}}",
	  "template: t:1:3: index: a value of type int cannot be indexed" },
	{ "{{index .Null 0}}",
	  "template: t:1:3: index: index of a null value" },
	{ "{{index .Labels 1}}",
	  "template: t:1:3: index: expected a string, not a value of type int" },
	{ "{{index .Args \"x\"}}",
	  "template: t:1:3: index: expected a whole number, not a value of type string" },
	{ "{{len .Pid}}",
	  "template: t:1:3: len: a value of type int has no length" },
	{ "{{len .Null}}",
	  "template: t:1:3: len: a value of type nil has no length" },
	{ "{{slice .Name 2 1}}",
	  "template: t:1:3: slice: invalid slice index: 2 > 1" },
	{ "{{slice .Name 4}}",
	  "template: t:1:3: slice: index out of range: 4" },
	{ "{{slice .Pid 1}}",
	  "template: t:1:3: slice: a value of type int cannot be sliced" },
	{ "{{range .Name}}x{{end}}",
	  "template: t:1:9: cannot range over a value of type string" },
	{ "{{range .Pid}}x{{end}}",
	  "template: t:1:9: cannot range over a value of type int" },
	{ "{{and .Name .Name.Bad}}",
	  "template: t:1:13: no field .Bad in a value of type string" },
	{ "{{printf 1}}",
	  "template: t:1:3: printf: expected a string, not a value of type int" },
	{ "{{eq 1 1.0}}",
	  "template: t:1:3: eq: values of types int and float64 cannot be compared" },
	{ "{{eq .Name 1}}",
	  "template: t:1:3: eq: values of types string and int cannot be compared" },
	{ "{{eq .Args .Args}}",
	  "template: t:1:3: eq: a value of type []interface {} cannot be compared" },
	{ "{{lt true false}}",
	  "template: t:1:3: lt: values of types bool and bool have no order" },
	{ "{{lt \"a\" 1}}",
	  "template: t:1:3: lt: values of types string and int cannot be compared" },
	{ "{{eq 1}}",
	  "template: t:1:3: wrong number of arguments for eq: 1" },
	{ "{{ne 1 2 3}}",
	  "template: t:1:3: wrong number of arguments for ne: 3" },
	{ "{{nil}}",
	  "template: t:1:3: nil is not a command" },
	{ "{{3-}} b",
	  "template: t:1:4: unexpected '-}} b'" },
	{ "{{.Name}",
	  "template: t:1:8: unexpected '}'" },
	{ "{{.Name",
	  "template: t:1:1: this action is not closed: '}}' is missing" },
	{ "{{",
	  "template: t:1:1: this action is not closed: '}}' is missing" },
	{ "{{}}",
	  "template: t:1:3: a value is missing" },
	{ "{{ }}",
	  "template: t:1:4: a value is missing" },
	{ "{{if}}x{{end}}",
	  "template: t:1:5: a value is missing" },
	{ "{{if .Running}}x",
	  "template: t:1:1: 'if' has no 'end'" },
	{ "{{range .Args}}x",
	  "template: t:1:1: 'range' has no 'end'" },
	{ "{{with .State}}",
	  "template: t:1:1: 'with' has no 'end'" },
	{ "{{end}}",
	  "template: t:1:1: 'end' without 'if', 'range' or 'with'" },
	{ "{{else}}",
	  "template: t:1:1: 'else' without 'if', 'range' or 'with'" },
	{ "{{if .Running}}x{{else}}y{{else}}z{{end}}",
	  "template: t:1:26: a second 'else'; expected 'end'" },
	{ "{{range .Args}}{{else}}{{else}}{{end}}",
	  "template: t:1:24: a second 'else'; expected 'end'" },
	{ "{{range .Args}}x{{else if .Running}}y{{end}}",
	  "template: t:1:17: 'else if' belongs to 'if' only" },
	{ "{{break}}",
	  "template: t:1:3: 'break' outside of 'range'" },
	{ "{{continue}}",
	  "template: t:1:3: 'continue' outside of 'range'" },
	{ "{{if .Running}}{{break}}{{end}}",
	  "template: t:1:18: 'break' outside of 'range'" },
	{ "{{.Name.}}",
	  "template: t:1:9: a field name must follow the '.'" },
	{ "{{..Name}}",
	  "template: t:1:4: unexpected '.Name}}'" },
	{ "{{.Name .Id}}",
	  "template: t:1:3: field .Name takes no arguments" },
	{ "{{.Name \"x\"}}",
	  "template: t:1:3: field .Name takes no arguments" },
	{ "{{\"a\" \"b\"}}",
	  "template: t:1:3: a constant takes no arguments" },
	{ "{{1 2}}",
	  "template: t:1:3: a constant takes no arguments" },
	{ "{{\"x\" | \"y\"}}",
	  "template: t:1:9: a constant takes no arguments" },
	{ "{{.Name | .Id}}",
	  "template: t:1:11: field .Id takes no arguments" },
	{ "{{.Name | 1}}",
	  "template: t:1:11: a constant takes no arguments" },
	{ "{{| .Name}}",
	  "template: t:1:3: a value is missing" },
	{ "{{.Name |}}",
	  "template: t:1:10: a value is missing" },
	{ "{{.Name || .Id}}",
	  "template: t:1:10: a value is missing" },
	{ "{{foo}}",
	  "template: t:1:3: there is no function 'foo'" },
	{ "{{foo .Name}}",
	  "template: t:1:3: there is no function 'foo'" },
	{ "{{.Name | foo}}",
	  "template: t:1:11: there is no function 'foo'" },
	{ "{{$x}}",
	  "template: t:1:3: undefined variable '$x'" },
	{ "{{$x = 1}}",
	  "template: t:1:3: undefined variable '$x'" },
	{ "{{$x := }}",
	  "template: t:1:9: a value is missing" },
	{ "{{$x, $y := .Args}}",
	  "template: t:1:3: undefined variable '$x'" },
	{ "{{range $i, $e, $f := .Args}}{{end}}",
	  "template: t:1:15: ':=' is missing after the variables of range" },
	{ "{{range $i, .Args}}{{end}}",
	  "template: t:1:13: range takes variables such as $i, $e" },
	{ "{{($x := 1)}}",
	  "template: t:1:4: no declaration inside parentheses" },
	{ "{{(1}}",
	  "template: t:1:3: this '(' is not closed" },
	{ "{{(1))}}",
	  "template: t:1:6: unexpected ')}}'; expected '}}'" },
	{ "{{1)}}",
	  "template: t:1:4: unexpected ')}}'; expected '}}'" },
	{ "{{()}}",
	  "template: t:1:4: a value is missing" },
	{ "{{\"abc}}",
	  "template: t:1:3: this quoted text is not closed" },
	{ "{{`abc}}",
	  "template: t:1:3: this raw text is not closed" },
	{ "{{'ab'}}",
	  "template: t:1:3: bad character constant" },
	{ "{{''}}",
	  "template: t:1:3: bad character constant" },
	{ "{{\"\\z\"}}",
	  "template: t:1:4: bad escape in a quoted text" },
	{ "{{\"\\xzz\"}}",
	  "template: t:1:4: bad escape in a quoted text" },
	{ "{{\"a\nb\"}}",
	  "template: t:1:3: this quoted text is not closed" },
	{ "{{1a}}",
	  "template: t:1:3: bad number '1a'" },
	{ "{{0x}}",
	  "template: t:1:3: bad number '0x'" },
	{ "{{1.2.3}}",
	  "template: t:1:3: bad number '1.2.3'" },
	{ "{{1e}}",
	  "template: t:1:3: bad number '1e'" },
	{ "{{08}}",
	  "template: t:1:3: bad number '08'" },
	{ "{{99999999999999999999}}",
	  "template: t:1:3: bad number '99999999999999999999'" },
	{ "{{.Name!}}",
	  "template: t:1:8: unexpected '!}}'" },
	{ "{{.Name, .Id}}",
	  "template: t:1:8: unexpected ', .Id}}'" },
	{ "{{@}}",
	  "template: t:1:3: unexpected '@}}'" },
	{ "{{.$x}}",
	  "template: t:1:4: unexpected '$x}}'" },
	{ "{{$.}}",
	  "template: t:1:5: a field name must follow the '.'" },
	{ "{{len}}",
	  "template: t:1:3: wrong number of arguments for len: 0" },
	{ "{{len .Name .Name}}",
	  "template: t:1:3: wrong number of arguments for len: 2" },
	{ "{{index}}",
	  "template: t:1:3: wrong number of arguments for index: 0" },
	{ "{{not}}",
	  "template: t:1:3: wrong number of arguments for not: 0" },
	{ "{{and}}",
	  "template: t:1:3: wrong number of arguments for and: 0" },
	{ "{{join .Args}}",
	  "template: t:1:3: wrong number of arguments for join: 1" },
	{ "{{upper 1}}",
	  "template: t:1:3: upper: expected a string, not a value of type int" },
	{ "{{upper .Null}}",
	  "template: t:1:3: upper: expected a string, not a value of type nil" },
	{ "{{json}}",
	  "template: t:1:3: wrong number of arguments for json: 0" },
	{ "{{if true}}{{define \"x\"}}{{end}}{{end}}",
	  "template: t:1:14: 'define' is not available here" },
	{ "{{template \"x\"}}",
	  "template: t:1:3: 'template' is not available here" },
	{ "{{/* x }}",
	  "template: t:1:1: this comment is not closed: '*/}}' is missing" },
	{ "{{/* x */ }}",
	  "template: t:1:10: a comment must end in '*/}}'" },
	{ "{{ /* x */}}",
	  "template: t:1:4: unexpected '/* x */}'" },
	/* clang-format on */
};

static struct json_object *parse_document(const char *text)
{
	struct json_object *document = NULL;
	struct kist_error err = { 0 };

	assert_int_equal(kist_json_parse(text, strlen(text), &document, &err), 0);
	return document;
}

static const char *const all_maps[] = { "*", NULL };
static const char *const label_maps[] = { "Labels", NULL };

/* Parses and runs; returns what the first failing step returned. */
static int run(const char *text, struct json_object *document, const struct kist_template_view *view,
               struct kist_str *out, struct kist_error *err)
{
	KIST_TEMPLATE struct kist_template *t = NULL;
	int r = kist_template_parse("t", text, &t, err);

	return r < 0 ? r : kist_template_run(t, document, view, out, err);
}

static void test_outputs(void **state)
{
	KIST_JSON struct json_object *document = parse_document(document_text);
	struct kist_template_view view = { .maps = all_maps };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(outputs); i++) {
		KIST_STR struct kist_str out = { 0 };
		struct kist_error err = { 0 };

		if (run(outputs[i].text, document, &view, &out, &err) < 0)
			fail_msg("%s: %s", outputs[i].text, err.text);
		if (strcmp(kist_str_get(&out), outputs[i].expected) != 0)
			fail_msg("%s\n  gives   %s\n  expected %s", outputs[i].text, kist_str_get(&out),
			         outputs[i].expected);
	}
}

static void test_mistakes(void **state)
{
	KIST_JSON struct json_object *document = parse_document(document_text);
	struct kist_template_view view = { .maps = all_maps };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(mistakes); i++) {
		KIST_STR struct kist_str out = { 0 };
		struct kist_error err = { 0 };

		if (run(mistakes[i].text, document, &view, &out, &err) != -EINVAL)
			fail_msg("%s is accepted", mistakes[i].text);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		assert_string_equal(err.text, mistakes[i].message);
	}
}

static void expect(const char *text, const char *json, const struct kist_template_view *view, const char *expected)
{
	KIST_JSON struct json_object *document = parse_document(json);
	KIST_STR struct kist_str out = { 0 };
	struct kist_error err = { 0 };
	int r = run(text, document, view, &out, &err);

	assert_string_equal(r < 0 ? err.text : kist_str_get(&out), expected);
}

static void test_structs_and_maps(void **state)
{
	struct kist_template_view view = { .maps = label_maps };

	(void)state;
	expect("{{.Foo}}", "{\"Id\":1}", &view, "template: t:1:3: unknown field .Foo");
	expect("{{.A.Foo}}", "{\"A\":{}}", &view, "template: t:1:3: unknown field .Foo");
	expect("a\nb {{.Foo}}", "{\"Id\":1}", &view, "template: t:2:5: unknown field .Foo");
	expect("{{.Labels.x}}|{{.Labels.x.y}}", "{\"Labels\":{\"a\":\"b\"}}", &view, "<no value>|<no value>");
	expect("{{index .Labels \"x\"}}|", "{\"Labels\":{}}", &view, "|");
	expect("{{if .Labels}}x{{else}}y{{end}}", "{\"Labels\":{}}", &view, "y");
	expect("{{if .A}}x{{else}}y{{end}}", "{\"A\":{}}", &view, "x");
	expect("{{index .A \"x\"}}", "{\"A\":{\"y\":1}}", &view, "template: t:1:3: index: there is no 'x'");
	expect("{{.}}", "null", NULL, "<no value>");
}

static int field(void *context, struct json_object *receiver, const char *name, struct json_object *const *args,
                 size_t n_args, struct json_object **out, struct kist_error *err)
{
	assert_string_equal(context, "context");
	assert_true(json_object_is_type(receiver, json_type_object));
	if (kist_streq(name, "Label") && n_args == 1) {
		*out = json_object_new_string(json_object_get_string(args[0]));
		return 1;
	}
	if (kist_streq(name, "Bad"))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "broken");
	if (!kist_streq(name, "RunningFor"))
		return 0;
	*out = json_object_new_string("2 hours\x1b[2J");
	return 1;
}

static void test_view(void **state)
{
	static const struct kist_template_alias aliases[] = { { "ID", "Id" }, { 0 } };
	struct kist_template_view view = { .aliases = aliases, .field = field, .context = (void *)"context" };

	(void)state;
	expect("{{.ID}} {{.Id}}", "{\"Id\":\"x\"}", &view, "x x");
	expect("{{.Label \"a.b\"}} {{\"q\" | .Label}}", "{}", &view, "a.b q");
	expect("{{.RunningFor}}", "{}", &view, "2 hours\x1b[2J");
	expect("{{.Bad}}", "{}", &view, "template: t:1:3: Bad: broken");
	view.escape = true;
	expect("{{.RunningFor}}\x1b{{println .N}}", "{\"N\":\"a\\u009bb\\tc\"}", &view,
	       "2 hours\\x1b[2J\x1b"
	       "a\\u009bb\tc\n");
}

static void test_limits(void **state)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_TEMPLATE struct kist_template *t = NULL;
	struct kist_error err = { 0 };

	(void)state;
	for (int i = 0; i < 200; i++)
		kist_str_add(&text, "{{if .}}");
	assert_int_equal(kist_template_parse("t", text.data, &t, &err), -EINVAL);
	assert_string_equal(err.text, "template: t:1:801: nested too deeply");
	kist_error_clear(&err);
	kist_str_clear(&text);
	kist_str_add(&text, "{{");
	for (int i = 0; i < 200; i++)
		kist_str_addc(&text, '(');
	assert_int_equal(kist_template_parse("t", text.data, &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nested too deeply"));
	/* Every turn doubles the text: stopped long before it is 2^40 bytes. */
	expect("{{$x := \"0123456789abcdef\"}}{{range .}}{{$x = print $x $x}}{{end}}{{len $x}}",
	       "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36]",
	       NULL, "template: t:1:47: print: the result is longer than 64 MiB");
	expect("{{printf \"%1000001d|\" 1}}", "{}", NULL, "%!(BADWIDTH)1|");
}

/* A template with everything in it, cut at every byte: an error or an output, never a crash. */
static void test_truncations(void **state)
{
	static const char text[] =
	        "a {{- /* c */ -}} {{with $s := .State}}{{if and (eq $s.Status \"ru\\x6e\") (not .X)}}{{`r`}}{{else if "
	        "or (gt 0x1F 3.5e1) nil}}{{printf \"%-5.2f|%q|%*d\" .F \"x\" 5 'c' | upper}}{{else}}{{range $i, $e := "
	        "$.Args}}{{if $i}}{{break}}{{end}}{{(index $.Mounts 0).Type}}{{continue}}{{else}}{{json .}}{{end}}"
	        "{{end}}{{end}}\xc3\xa9 {{$x := (.Id | len)}}{{$x = -1_0}} {{join (split .Name \",\") \"/\"}}";
	KIST_JSON struct json_object *document = parse_document(document_text);

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		KIST_FREE char *cut = kist_strndup(text, i);
		KIST_STR struct kist_str out = { 0 };
		struct kist_error err = { 0 };
		int r = run(cut, document, NULL, &out, &err);

		assert_int_equal(r < 0, kist_error_is_set(&err));
		if (r < 0)
			assert_true(kist_has_prefix(err.text, "template: t:"));
	}
}

static void test_uses(void **state)
{
	KIST_TEMPLATE struct kist_template *t = NULL;

	(void)state;
	assert_int_equal(kist_template_parse("t", "{{.Id}}{{if (len .SizeRw)}}x{{end}}", &t, NULL), 0);
	assert_true(kist_template_uses(t, "SizeRw"));
	assert_false(kist_template_uses(t, "Mounts"));
	kist_template_free(t);
	t = NULL;
	assert_int_equal(kist_template_parse("t", "{{json .}}", &t, NULL), 0);
	assert_true(kist_template_uses(t, "Mounts"));
}

static char *format(const char *text, bool noheading)
{
	static const struct kist_header headers[] = { { "ID", "CONTAINER ID" }, { 0 } };
	static const struct kist_template_alias aliases[] = { { "ID", "Id" }, { 0 } };
	struct kist_template_view view = { .aliases = aliases };
	struct json_object *documents[] = {
		parse_document("{\"Id\":\"4f1bb2\",\"Names\":\"web\",\"CreatedAt\":1,\"S\":{\"OnOff\":true}}"),
		parse_document(
		        "{\"Id\":\"77\",\"Names\":\"evil\\t\\u001b[2J\\nx\",\"CreatedAt\":2,\"S\":{\"OnOff\":false}}"),
	};
	struct kist_format f = { 0 };
	struct kist_str out = { 0 };
	struct kist_error err = { 0 };

	if (kist_format_parse("ps", text, headers, &f, &err) < 0 ||
	    kist_format_run(&f, documents, 2, &view, noheading, &out, &err) < 0) {
		kist_str_clear(&out);
		kist_str_add(&out, err.text);
	}
	kist_format_clear(&f);
	json_object_put(documents[0]);
	json_object_put(documents[1]);
	return kist_str_take(&out);
}

static void expect_format(const char *text, bool noheading, const char *expected)
{
	KIST_FREE char *got = format(text, noheading);

	assert_string_equal(got, expected);
}

static void test_format(void **state)
{
	static const char json[] = "[\n    {\n        \"Id\": \"4f1bb2\"";

	(void)state;
	expect_format("{{.ID}}", false, "4f1bb2\n77\n");
	expect_format("{{.ID}}\\n", false, "4f1bb2\n77\n");
	expect_format("{{.ID}}\\t{{.CreatedAt}}{{\"\\n\"}}", false, "4f1bb2\t1\n\n77\t2\n\n");
	expect_format(
	        "table {{.ID}}\\t{{.CreatedAt}}\\t{{.S.OnOff}}", false,
	        "CONTAINER ID  CREATED AT  ON OFF\n4f1bb2        1           true\n77            2           false\n");
	expect_format("table {{.ID}}\\t{{.Names}}\\t{{.CreatedAt}}", true,
	              "4f1bb2      web               1\n77          evil\\t\\x1b[2J\\nx  2\n");
	expect_format("table {{if .S.OnOff}}{{upper .Names}}{{end}}{{\"\\t\"}}{{len .ID | printf \"%d\"}}", false,
	              "NAMESCONTAINER ID\nWEB         6\n            2\n");
	/* Spaces part columns too, as with podman, in actions as well. */
	expect_format("table {{.ID}} {{if .S.OnOff}}a b{{end}} {{ .CreatedAt }}", true,
	              "4f1bb2      a           b           1\n77                      2\n");
	expect_format("{{.Nope}}", false, "template: ps:1:3: unknown field .Nope");
	expect_format("table {{.Nope", false, "template: ps:1:1: this action is not closed: '}}' is missing");
	for (size_t i = 0; i < 3; i++) {
		KIST_FREE char *got = format(i == 0 ? "json" : i == 1 ? " json " : "{{ json . }}", false);

		assert_memory_equal(got, json, strlen(json));
		assert_true(kist_has_suffix(got, "}\n]\n"));
	}
}

static void test_headers(void **state)
{
	static const struct {
		const char *field, *header;
	} rows[] = { { "CreatedAt", "CREATED AT" }, { "ID", "ID" },       { "ImageID", "IMAGE ID" },
		     { "CPUPerc", "CPU PERC" },     { "Names", "NAMES" }, { "host_ip", "HOST IP" } };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_FREE char *header = kist_header_default(rows[i].field);

		assert_string_equal(header, rows[i].header);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_structs_and_maps),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
