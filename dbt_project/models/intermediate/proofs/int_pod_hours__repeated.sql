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

)

select * from final
