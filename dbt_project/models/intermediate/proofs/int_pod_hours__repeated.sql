with

pod_costs as (

    select
        billing_month,
        payer_account_id,
        instance_id,
        usage_hour,
        pod_uid,
        {% for basis in bases() -%}
        {{ pod_money(basis, 'split') }} + {{ pod_money(basis, 'unused') }}
            as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}

),

-- Keys are compared by a digest of 64 bits first, which is small enough to count a month
-- by; what agrees in it is then compared in full. The source is read twice: a CTE that is
-- used twice would be kept, money and all, in memory.
suspects as (

    select
        billing_month,
        {{ digest_of(['instance_id', 'usage_hour', 'pod_uid']) }} as key_digest
    from {{ source('split', 'pod_costs') }}
    group by billing_month, {{ digest_of(['instance_id', 'usage_hour', 'pod_uid']) }}
    having count(*) > 1

),

repeated as (

    select pod_costs.*
    from pod_costs
    inner join suspects
        on
            pod_costs.billing_month = suspects.billing_month
            and {{ digest_of([
                'pod_costs.instance_id', 'pod_costs.usage_hour', 'pod_costs.pod_uid'
            ]) }} = suspects.key_digest

),

on_nodes as (

    select
        billing_month,
        instance_id,
        usage_hour,
        pod_uid
    from {{ source('split', 'pod_costs') }}
    where instance_id is not null

),

-- A pod that AWS bills by itself runs on no instance, whatever the inventory says.
on_both as (

    select
        fargate.billing_month,
        fargate.payer_account_id,
        on_nodes.instance_id,
        fargate.usage_hour,
        fargate.pod_uid,
        1 + count(*) as row_count,
        {% for basis in bases() -%}
        max(
            {% for resource in fargate_resources() -%}
            fargate.{{ resource }}_{{ basis }}_usd{{ ' +' if not loop.last }}
            {% endfor -%}
        )::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_fargate_pod_hours') }} as fargate
    inner join on_nodes
        on
            fargate.billing_month = on_nodes.billing_month
            and fargate.usage_hour = on_nodes.usage_hour
            and fargate.pod_uid = on_nodes.pod_uid
    group by
        fargate.billing_month,
        fargate.payer_account_id,
        on_nodes.instance_id,
        fargate.usage_hour,
        fargate.pod_uid

),

final as (

    select
        billing_month,
        payer_account_id,
        instance_id,
        usage_hour,
        pod_uid,
        count(*) as row_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from repeated
    group by billing_month, payer_account_id, instance_id, usage_hour, pod_uid
    having count(*) > 1
    union all
    select * from on_both

)

select * from final
