#!/usr/bin/env bats
# Secrets.
load helpers

SECRET=very-hidden-value

teardown()
{
	kist secret rm -a >/dev/null
	teardown_store
}

@test "secret: create, ls, inspect, exists, rm" {
	local id
	id=$(printf '%s' "$SECRET" | kist secret create password -)
	matches '^[0-9a-f]{25}$' "$id"
	run -0 kist secret ls
	matches '^ID +NAME +DRIVER +CREATED +UPDATED$' "${lines[0]}"
	matches "^$id +password +file" "${lines[1]}"
	equal "$id" "$(kist secret ls -q --filter name=pass)"
	equal password "$(kist secret ls --format '{{.Name}}')"
	run -0 kist secret inspect password
	lacks "$output" "$SECRET"
	equal "$id" "$(kist secret inspect --format '{{.ID}}' password)"
	equal password "$(kist secret inspect --format '{{.Spec.Name}}' "${id:0:10}")"
	echo from-file >"$STORE/file"
	kist secret create --label a=b other "$STORE/file"
	equal b "$(kist secret inspect --format '{{.Spec.Labels.a}}' other)"
	equal "$id" "$(kist secret rm password)"
	run ! kist secret rm password
	run ! kist secret inspect password
	kist_only
	run -0 kist secret exists other
	run -1 kist secret exists password
	equal from-file "$(kist secret inspect --showsecret --format '{{.SecretData}}' other)"
	kist secret rm -a
	equal '' "$(kist secret ls -q)"
}

@test "secret: what is refused" {
	printf x | kist secret create a -
	engine_error kist secret create a "$STORE/nosuch"
	run -125 kist secret create a - <<<x
	contains "$output" a
	run -125 kist secret create b - </dev/null
	run -125 kist secret create b/c - <<<x
	head -c 600000 /dev/zero >"$STORE/large"
	run -125 kist secret create b "$STORE/large"
	run -125 kist secret create --driver nosuch b - <<<x
	engine_error kist run --rm --secret nosuch busybox true
	engine_error kist run --rm --secret a,type=nosuch busybox true
	engine_error kist run --rm --secret a,mode=9 busybox true
	kist_only
	engine_error kist run --rm --secret a,colour=red busybox true
	engine_error kist run --rm --secret a,type=env,uid=1 busybox true
}

@test "secret: --replace, --env" {
	kist_only
	printf old | kist secret create a -
	printf new | kist secret create --replace a -
	equal new "$(kist run --rm --secret a busybox cat /run/secrets/a)"
	VAR=from-env kist secret create --env b VAR
	equal from-env "$(kist run --rm --secret b busybox cat /run/secrets/b)"
	engine_error kist secret create --env c NOSUCHVARIABLE
}

@test "--secret: files, with owner, mode and place" {
	printf '%s' "$SECRET" | kist secret create s -
	equal "$SECRET" "$(kist run --rm --secret s busybox cat /run/secrets/s)"
	equal "$SECRET" "$(kist run --rm --secret source=s,type=mount,target=other busybox cat /run/secrets/other)"
	equal "$SECRET" "$(kist run --rm --secret s,target=/etc/place busybox cat /etc/place)"
	equal '400 5 6' "$(kist run --rm --secret s,uid=5,gid=6,mode=0400 busybox stat -c '%a %u %g' /run/secrets/s)"
	equal '444 0 0' "$(kist run --rm --secret s busybox stat -c '%a %u %g' /run/secrets/s)"
	equal "$SECRET" "$(kist run --rm -u 1000 --secret s busybox cat /run/secrets/s)"
	kist_only
	equal "$SECRET" "$(kist run --rm --read-only --secret s busybox cat /run/secrets/s)"
	run ! kist run --rm --secret s busybox sh -c 'echo x >/run/secrets/s'
	contains "$output" 'Read-only'
}

@test "--secret: variables, for exec too" {
	printf '%s' "$SECRET" | kist secret create s -
	equal "$SECRET" "$(kist run --rm --secret s,type=env busybox sh -c 'echo $s')"
	equal "$SECRET" "$(kist run --rm --secret s,type=env,target=NAMED busybox sh -c 'echo $NAMED')"
	local id
	id=$(sleeper --secret s,type=env,target=NAMED)
	equal "$SECRET" "$(kist exec "$id" sh -c 'echo $NAMED')"
	kist rm -f -t 0 "$id"
}

@test "--secret: in no record, no inspect, no log of the engine" {
	kist_only
	printf '%s' "$SECRET" | kist secret create s -
	local id
	id=$(sleeper --secret s --secret s,type=env,target=NAMED 2>"$STORE/err")
	lacks "$(kist inspect "$id")" "$SECRET"
	lacks "$(kist ps -a --format json)" "$SECRET"
	lacks "$($(kist_command) --log-level debug exec "$id" true 2>&1)" "$SECRET"
	run -1 grep -rqF "$SECRET" "$ROOT/containers"
	# The file is in the run directory while it runs, for root alone, and gone afterwards.
	local directory=$RUNROOT/containers/$id/secrets
	equal 700 "$(stat -c %a "$directory")"
	grep -rqF "$SECRET" "$directory"
	kist stop -t 0 "$id"
	run -1 grep -rqF "$SECRET" "$RUNROOT"
	kist rm "$id"
	equal 700 "$(stat -c %a "$ROOT/secrets")"
	equal 600 "$(stat -c %a "$ROOT"/secrets/*/data)"
}
