{{ config(materialized='incremental') }}

with

weighed as (

    {{ weighed_node_hours() }}

),

claims as (

    select * from {{ ref('int_pod_hours__claimed') }}

),

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

-- Which node-hours, their digest decides: the same ones each time, and for both engines.
ranked as (

    select
        *,
        row_number() over (
            partition by billing_month
            order by md5(instance_id || {{ utc_text('usage_hour') }}), payer_account_id
        ) as place
    from weighed

),

sampled as (

    select * from ranked
    where place <= {{ most_proved_node_hours() }}

),

claimed as (

    select
        sampled.billing_month,
        sampled.instance_id,
        sampled.usage_hour,
        sampled.payer_account_id,
        claims.pod_uid,
        {% for resource in resources() -%}
        claims.{{ resource }}_allocated_hours as {{ resource }}_claim,
        sum(claims.{{ resource }}_allocated_hours) over (
            partition by sampled.billing_month, sampled.instance_id, sampled.usage_hour
        ) as {{ resource }}_claims,
        {% endfor -%}
        {% for resource in resources() -%}
        sampled.{{ resource }}_capacity_hours::double as {{ resource }}_capacity,
        {% for basis in bases() -%}
        coalesce(sampled.{{ resource }}_{{ basis }}_usd, 0)::double
            as {{ resource }}_{{ basis }}_pool
        {{- ',' if not (loop.last and resource == resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from sampled
    inner join claims
        on
            sampled.billing_month = claims.billing_month
            and sampled.instance_id = claims.instance_id
            and sampled.usage_hour = claims.usage_hour

),

-- A pod pays its claim's part of the resource, and of what nobody claimed in proportion.
shared as (

    select
        *,
        {% for resource in resources() -%}
        case
            when {{ resource }}_claims > 0
                then
                    {{ resource }}_claim
                    / greatest({{ resource }}_capacity, {{ resource }}_claims)
            else 0
        end as {{ resource }}_split_share,
        case
            when
                {{ resource }}_claims > 0
                and {{ resource }}_claims < {{ resource }}_capacity
                then
                    (1 - {{ resource }}_claims / {{ resource }}_capacity)
                    * ({{ resource }}_claim / {{ resource }}_claims)
            else 0
        end as {{ resource }}_unused_share{{ ',' if not loop.last }}
        {% endfor %}
    from claimed

),

paid as (

    select
        sampled.billing_month,
        sampled.payer_account_id,
        sampled.instance_id,
        sampled.usage_hour,
        pod_costs.pod_uid,
        {% for resource in resources() -%}
        {% for basis in bases() -%}
        coalesce(pod_costs.{{ resource }}_{{ basis }}_split_usd, 0)
            as {{ resource }}_{{ basis }}_split,
        coalesce(pod_costs.{{ resource }}_{{ basis }}_unused_usd, 0)
            as {{ resource }}_{{ basis }}_unused
        {{- ',' if not (loop.last and resource == resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from sampled
    inner join pod_costs
        on
            sampled.billing_month = pod_costs.billing_month
            and sampled.instance_id = pod_costs.instance_id
            and sampled.usage_hour = pod_costs.usage_hour

),

-- How far each pod is off in its worst part, less what doubles of this size may be off by.
compared as (

    select
        coalesce(paid.billing_month, shared.billing_month) as billing_month,
        coalesce(paid.payer_account_id, shared.payer_account_id) as payer_account_id,
        coalesce(paid.pod_uid, shared.pod_uid) || ' on '
        || coalesce(paid.instance_id, shared.instance_id) || ' at '
        || {{ utc_text('coalesce(paid.usage_hour, shared.usage_hour)') }} as pod_hour,
        {% for basis in bases() -%}
        coalesce(
            {% for resource in resources() -%}
            paid.{{ resource }}_{{ basis }}_split + paid.{{ resource }}_{{ basis }}_unused
            {{- ' +' if not loop.last }}
            {% endfor -%},
            0
        ) as {{ basis }}_usd,
        greatest(
            {% for resource in resources() -%}
            {% for part in ['split', 'unused'] -%}
            abs(
                coalesce(paid.{{ resource }}_{{ basis }}_{{ part }}, 0)::double
                - coalesce(
                    shared.{{ resource }}_{{ basis }}_pool
                    * shared.{{ resource }}_{{ part }}_share,
                    0
                )
            )
            - 0.00000000000001 * abs(coalesce(shared.{{ resource }}_{{ basis }}_pool, 0))
            {{- ',' if not (loop.last and resource == resources()[-1]) }}
            {% endfor -%}
            {% endfor %}
        ) as {{ basis }}_off{{ ',' if not loop.last }}
        {% endfor %}
    from paid
    full outer join shared
        on
            paid.billing_month = shared.billing_month
            and paid.instance_id = shared.instance_id
            and paid.usage_hour = shared.usage_hour
            and paid.pod_uid = shared.pod_uid

),

final as (

    {% for basis in bases() -%}
    select
        billing_month,
        payer_account_id,
        '{{ basis }}' as cost_basis,
        count(*) as pod_hour_count,
        sum({{ basis }}_usd)::decimal(38, 10) as actual_usd,
        greatest(max({{ basis }}_off), 0)::decimal(38, 10) as worst_residual_usd,
        -- A part is within one unit of its real value, by construction of the split.
        max_by(pod_hour, {{ pair(basis ~ '_off', 'pod_hour') }})
            filter (where {{ basis }}_off > 0.0000000001001) as offender
    from compared
    group by billing_month, payer_account_id
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
