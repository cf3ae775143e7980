{{ config(materialized='incremental') }}

with

lines as (

    select * from {{ ref('int_bill_lines__costed') }}

),

pod_hours as (

    select * from {{ ref('stg_k8s__pod_hours') }}

),

-- The resource id names the pod; the usage type says what of it was billed.
named as (

    select
        *,
        date_trunc('hour', usage_started_at) as usage_hour,
        {% for part in ['region', 'cluster_name', 'namespace', 'pod_name', 'pod_uid'] -%}
        {{ regexp_extract('resource_id', pod_arn(), loop.index) }} as {{ part }},
        {% endfor -%}
        case
            when usage_type like '%Storage%' then 'storage'
            when usage_type like '%vCPU%' then 'vcpu'
            when usage_type like '%GB-Hours%' then 'memory'
        end as resource,
        {{ regexp_extract('usage_type', '^(.*Fargate.*)-(vCPU|GB)-Hours', 1) }} as platform,
        {{ regexp_extract('usage_type', '^(.*Fargate)', 1) }} as product_prefix
    from lines
    where carries_pod

),

-- On-Demand and several Savings Plans may share an hour of a pod: its cost is their sum.
-- What is billed beside the three resources, like a licence, is cost of the vCPUs.
billed as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        cluster_name,
        namespace,
        pod_name,
        pod_uid,
        usage_hour,
        coalesce(max(region), max(region_code)) as region_code,
        coalesce(
            max(platform) filter (where resource <> 'storage'),
            max(product_prefix),
            'Fargate'
        ) as usage_type_prefix,
        count(*) as line_count,
        {% for resource in fargate_resources() -%}
        {{ nearest_double(
            "sum(coalesce(usage_amount, 0)) filter (where resource = '" ~ resource ~ "')"
        ) }} as {{ resource }}_hours,
        {% for basis in bases() -%}
        case
            -- A basis that the exports do not tell is null of every resource.
            when count(*) filter (where {{ basis }}_usd is null) = 0
                then coalesce(
                    sum({{ basis }}_usd)
                    filter (where coalesce(resource, 'vcpu') = '{{ resource }}'),
                    0
                )
        end::decimal(18, 10) as {{ resource }}_{{ basis }}_usd
        {{- ',' if not (loop.last and resource == fargate_resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from named
    group by
        billing_month,
        payer_account_id,
        usage_account_id,
        cluster_name,
        namespace,
        pod_name,
        pod_uid,
        usage_hour

),

uids as (

    select distinct
        billing_month,
        pod_uid
    from billed

),

-- Inventories that know pods without an instance give the node's name in its place.
known as (

    select
        pod_hours.billing_month,
        pod_hours.pod_uid,
        pod_hours.usage_hour,
        pod_hours.workload_type,
        pod_hours.workload_name,
        pod_hours.deployment,
        pod_hours.labels,
        pod_hours.bound_seconds,
        pod_hours.vcpu_used,
        pod_hours.memory_used_gib,
        row_number() over (
            partition by pod_hours.billing_month, pod_hours.pod_uid, pod_hours.usage_hour
            order by pod_hours.instance_id
        ) as place_in_hour,
        row_number() over (
            partition by pod_hours.billing_month, pod_hours.pod_uid
            order by pod_hours.usage_hour, pod_hours.instance_id
        ) as place
    from pod_hours
    inner join uids
        on
            pod_hours.billing_month = uids.billing_month
            and pod_hours.pod_uid = uids.pod_uid

),

final as (

    select
        billed.billing_month,
        billed.payer_account_id,
        billed.usage_account_id,
        billed.region_code,
        billed.usage_type_prefix,
        billed.cluster_name,
        billed.namespace,
        billed.pod_name,
        billed.pod_uid,
        billed.usage_hour,
        -- What is known of some hour of a pod holds for hours that the inventory misses.
        {% for column in ['workload_type', 'workload_name', 'deployment'] -%}
        case
            when of_hour.pod_uid is null then of_pod.{{ column }}
            else of_hour.{{ column }}
        end as {{ column }},
        {% endfor -%}
        coalesce(of_hour.labels, of_pod.labels, '{}') as labels,
        of_hour.bound_seconds,
        billed.line_count,
        of_hour.vcpu_used * (of_hour.bound_seconds / 3600.0::double) as vcpu_used_hours,
        of_hour.memory_used_gib * (of_hour.bound_seconds / 3600.0::double)
            as memory_used_hours,
        {% for resource in fargate_resources() -%}
        billed.{{ resource }}_hours,
        {% for basis in bases() -%}
        billed.{{ resource }}_{{ basis }}_usd
        {{- ',' if not (loop.last and resource == fargate_resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from billed
    left join known as of_hour
        on
            billed.billing_month = of_hour.billing_month
            and billed.pod_uid = of_hour.pod_uid
            and billed.usage_hour = of_hour.usage_hour
            and of_hour.place_in_hour = 1
    left join known as of_pod
        on
            billed.billing_month = of_pod.billing_month
            and billed.pod_uid = of_pod.pod_uid
            and of_pod.place = 1

)

select * from final
